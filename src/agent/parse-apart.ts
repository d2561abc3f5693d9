import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { TaskError } from '../wire/tasks/task-error.ts';
import { besideCell, exitCodeOfMemory } from './beside-cell.ts';
import type { Cell } from './executors/cell.ts';
import type { ParserName, Parsers } from './parsers.ts';
import { Capture, runProgram } from './program.ts';
import { failureExitCode, RunFailure } from './run-failure.ts';

export type ParseOptions = {
  readonly cell: Pick<Cell, 'beside'>;
  readonly signal: AbortSignal;
  readonly limits?: ParseLimits;
  /** The program that parses. */
  readonly program?: string;
};
export type ParseLimits = { readonly seconds: number; readonly memoryMiB: number };

const usualLimits: ParseLimits = { seconds: 30, memoryMiB: 256 };
const graceMs = 1_000;
// The sources run as they are, and compiled.
const parserProgram = fileURLToPath(new URL(`./parser-program${extname(import.meta.filename)}`, import.meta.url));

const words: Readonly<Record<ParserName, string>> = {
  dockerfile: 'the Dockerfile',
  aliasSources: 'the task file',
  task: 'the task file',
  quickBuild: 'the request for the build',
  builderMetadata: 'the label of the builder',
  packReport: 'the report of the builder',
};

/**
 * Parses a text that a stranger may have written, in a program of its own that counts within the limits of the run: one that
 * takes too long, or too much memory, ends its own run alone. Throws TaskError and RunFailure, or the signal's reason.
 * Source: docs/decisions/rooms-of-runs.md.
 */
export async function parseApart<Name extends ParserName>(
  name: Name,
  input: Parsers[Name]['input'],
  { cell, signal, limits = usualLimits, program = parserProgram }: ParseOptions,
): Promise<Parsers[Name]['result']> {
  const said = new Capture();
  const chunks: Uint8Array[] = [];
  const line = besideCell(cell, [`--max-old-space-size=${limits.memoryMiB}`, program]);
  const late = AbortSignal.timeout(limits.seconds * 1000);
  try {
    const code = await runProgram(line.words, {
      ...{ env: line.env, cwd: '/', graceMs, input: serialize({ name, input }) },
      signal: AbortSignal.any([signal, late]),
      onStdout: (chunk) => void chunks.push(chunk),
      onOutput: (chunk) => said.add(chunk),
    });
    if (code === 0) return resultOf(Buffer.concat(chunks));
    throw failureOf(name, code, said.text(), limits);
  } catch (cause) {
    signal.throwIfAborted();
    if (!late.aborted) throw cause;
    throw new RunFailure(`${words[name]} cannot be read within ${limits.seconds} seconds`);
  }
}

function failureOf(name: ParserName, code: number, said: string, { memoryMiB }: ParseLimits): Error {
  if (code === failureExitCode) return new TaskError(said);
  if (exitCodeOfMemory(code))
    return new RunFailure(`${words[name]} cannot be read within ${memoryMiB} MiB of memory, or what the run has left`);
  return new Error(`the program that reads ${words[name]} ended with ${code}: ${said}`);
}

/** What it wrote is of this type: both ends are one source, and the request said which parser it is. */
function resultOf<Name extends ParserName>(bytes: Uint8Array): Parsers[Name]['result'] {
  return deserialize(bytes) as Parsers[Name]['result'];
}
