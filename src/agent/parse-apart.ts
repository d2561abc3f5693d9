import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { TaskError } from '../wire/tasks/task-error.ts';
import { besideCell, exitCodeOfMemory } from './beside-cell.ts';
import type { Cell } from './executors/cell.ts';
import { type ParserName, type Parsers, parsedTexts } from './parsers.ts';
import { Capture, runProgram } from './program.ts';
import { failureExitCode, RunFailure } from './run-failure.ts';

export type ParseOptions = {
  readonly cell: Pick<Cell, 'beside' | 'besideTurns'>;
  readonly signal: AbortSignal;
  readonly limits?: ParseLimits;
  /** The program that parses. */
  readonly program?: string;
};
/** Seconds of a processor. */
export type ParseLimits = { readonly seconds: number; readonly memoryMiB: number };

const usualLimits: ParseLimits = { seconds: 30, memoryMiB: 256 };
/** What else the run does may leave it little of a processor: it has so many times its seconds by the clock. */
const patience = 10;
const graceMs = 1_000;
/** Of a program that the kernel ended as it had used up its seconds: 128 and SIGXCPU. */
const exitCodeOfTime = 152;
// The sources run as they are, and compiled.
const parserProgram = fileURLToPath(new URL(`./parser-program${extname(import.meta.filename)}`, import.meta.url));

/**
 * Parses a text that a stranger may have written, in a program of its own that counts within the limits of the run: one that
 * takes too long, or too much memory, ends its own run alone. Throws TaskError and RunFailure, or the signal's reason.
 * Source: docs/decisions/rooms-of-runs.md.
 */
export async function parseApart<Name extends ParserName>(
  name: Name,
  input: Parsers[Name]['input'],
  options: ParseOptions,
): Promise<Parsers[Name]['result']> {
  const work = () => parsed(name, input, options);
  return await (options.cell.besideTurns?.take(work) ?? work());
}

async function parsed<Name extends ParserName>(
  name: Name,
  input: Parsers[Name]['input'],
  { cell, signal, limits = usualLimits, program = parserProgram }: ParseOptions,
): Promise<Parsers[Name]['result']> {
  const said = new Capture();
  const chunks: Uint8Array[] = [];
  const { seconds, memoryMiB } = limits;
  const line = besideCell(cell, [`--max-old-space-size=${memoryMiB}`, program]);
  const late = AbortSignal.timeout(seconds * patience * 1000);
  try {
    const code = await runProgram(['prlimit', `--cpu=${seconds}:${seconds + 1}`, '--core=0', '--', ...line.words], {
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
    throw tooSlow(name, seconds * patience);
  }
}

function failureOf(name: ParserName, code: number, said: string, { seconds, memoryMiB }: ParseLimits): Error {
  if (code === failureExitCode) return new TaskError(said);
  if (code === exitCodeOfTime) return tooSlow(name, seconds);
  if (exitCodeOfMemory(code))
    return new RunFailure(
      `${parsedTexts[name]} cannot be read within ${memoryMiB} MiB of memory, or what the run has left`,
    );
  return new Error(`the program that reads ${parsedTexts[name]} ended with ${code}: ${said}`);
}

function tooSlow(name: ParserName, seconds: number): RunFailure {
  return new RunFailure(`${parsedTexts[name]} cannot be read within ${seconds} seconds`);
}

/** What it wrote is of this type: both ends are one source, and the request said which parser it is. */
function resultOf<Name extends ParserName>(bytes: Uint8Array): Parsers[Name]['result'] {
  return deserialize(bytes) as Parsers[Name]['result'];
}
