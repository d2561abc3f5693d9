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

/** A program that waits for its text, of which it reads one; the signal of whoever gives it ends it too. */
export type StartedParser = (text: Uint8Array, asking?: AbortSignal) => Promise<Uint8Array>;

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
  return await parseWith(name, input, startParser(name, options), options.signal);
}

/** Parses with a program that `startParser` has started for this name. Throws as `parseApart` does. */
export async function parseWith<Name extends ParserName>(
  _name: Name,
  input: Parsers[Name]['input'],
  started: StartedParser,
  signal: AbortSignal,
): Promise<Parsers[Name]['result']> {
  return resultOf(await started(serialize(input), signal));
}

/** Starts the program of `parseApart` before there is a text: its start takes longer than most texts. Throws nothing. */
export function startParser(name: ParserName, options: ParseOptions): StartedParser {
  const { cell } = options;
  const stopper = new AbortController();
  const signal = AbortSignal.any([options.signal, stopper.signal]);
  const { promise: text, resolve: give } = Promise.withResolvers<Uint8Array | undefined>();
  signal.addEventListener('abort', () => give(undefined), { once: true });
  const work = () => parsed(name, text, { ...options, signal });
  const result = cell.besideTurns?.take(work, signal) ?? work();
  result.catch(() => {
    // Whoever gives the text is told.
  });
  return async (bytes, asking) => {
    const stop = () => stopper.abort(asking?.reason);
    if (asking?.aborted === true) stop();
    asking?.addEventListener('abort', stop, { once: true });
    give(bytes);
    try {
      return await result;
    } finally {
      asking?.removeEventListener('abort', stop);
    }
  };
}

async function parsed(
  name: ParserName,
  text: Promise<Uint8Array | undefined>,
  { cell, signal, limits = usualLimits, program = parserProgram }: ParseOptions,
): Promise<Uint8Array> {
  const said = new Capture();
  const chunks: Uint8Array[] = [];
  const { seconds, memoryMiB } = limits;
  const line = besideCell(cell, [`--max-old-space-size=${memoryMiB}`, program, name]);
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const input = async function* () {
    const bytes = await text;
    if (bytes === undefined) return;
    // Its time begins with the text.
    timer = setTimeout(() => late.abort(tooSlow(name, seconds * patience)), seconds * patience * 1000);
    yield bytes;
  };
  try {
    const code = await runProgram(['prlimit', `--cpu=${seconds}:${seconds + 1}`, '--core=0', '--', ...line.words], {
      ...{ env: line.env, cwd: '/', graceMs, input: input() },
      signal: AbortSignal.any([signal, late.signal]),
      onStdout: (chunk) => void chunks.push(chunk),
      onOutput: (chunk) => said.add(chunk),
    });
    if (code === 0) return Buffer.concat(chunks);
    throw failureOf(name, code, said.text(), limits);
  } finally {
    clearTimeout(timer);
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

/** What it wrote is of this type: both ends are one source, and it was started as this parser. */
function resultOf<Name extends ParserName>(bytes: Uint8Array): Parsers[Name]['result'] {
  return deserialize(bytes) as Parsers[Name]['result'];
}
