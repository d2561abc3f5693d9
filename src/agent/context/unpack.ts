import { extname } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { besideCell, exitCodeOfMemory } from '../beside-cell.ts';
import type { Cell } from '../executors/cell.ts';
import { Capture, ProgramError, runProgram } from '../program.ts';
import { failureExitCode, RunFailure } from '../run-failure.ts';
import type { ArchiveLimits } from './archive.ts';
import { begins, headOf } from './first-bytes.ts';
import { framed } from './frames.ts';

export type ArchiveReading = {
  readonly cell: Pick<Cell, 'beside'>;
  readonly limits: ArchiveLimits;
  readonly signal: AbortSignal;
  /** Of the program that reads the archives. */
  readonly memoryMiB?: number;
};
export type Unpacking = ArchiveReading & {
  readonly cell: Cell;
  /** A folder of the cell. */
  readonly target: string;
  /** One that waits for them; another is started unless. */
  readonly reader?: ArchiveReader | undefined;
};

/** A program that reads archives once they are there. */
export type ArchiveReader = {
  readonly read: (archives: AsyncIterable<AsyncIterable<Uint8Array>>) => void;
  /** What is harmless of them, as one tar. */
  readonly harmless: AsyncIterable<Uint8Array>;
  readonly stop: () => void;
};

const usualMemoryMiB = 256;
// The sources run as they are, and compiled.
const filterProgram = fileURLToPath(new URL(`./archive-program${extname(import.meta.filename)}`, import.meta.url));

/**
 * Unpacks archives over each other into a folder of the cell. They are read by a program of its own, which counts within the
 * limits of the run: what a hostile one costs, its run pays. Throws RunFailure for what is not harmless, and as the archives do.
 */
export async function unpack(archives: AsyncIterable<AsyncIterable<Uint8Array>>, to: Unpacking): Promise<void> {
  const { cell, target, signal, reader = startArchiveReader(to) } = to;
  reader.read(readableBy(cell, archives, signal));
  const words = ['tar', '--extract', '--file', '-', '--directory', target];
  try {
    await cell.read([...words, '--no-same-owner', '--keep-directory-symlink'], { input: reader.harmless, signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof ProgramError
      ? new RunFailure(`the context cannot be unpacked: ${cause.message}`, { cause })
      : cause;
  } finally {
    reader.stop();
  }
}

/** Starts the program of `unpack` before there are archives. Throws nothing. */
export function startArchiveReader(reading: ArchiveReading): ArchiveReader {
  const stopper = new AbortController();
  const signal = AbortSignal.any([reading.signal, stopper.signal]);
  const { promise: given, resolve: read } = Promise.withResolvers<
    AsyncIterable<AsyncIterable<Uint8Array>> | undefined
  >();
  signal.addEventListener('abort', () => read(undefined), { once: true });
  const archives = async function* () {
    const found = await given;
    if (found !== undefined) yield* found;
  };
  const harmless = filtered(archives(), { ...reading, signal });
  return { read, harmless, stop: () => stopper.abort(new Error('nobody reads on')) };
}

function filtered(
  archives: AsyncIterable<AsyncIterable<Uint8Array>>,
  { cell, limits, signal, memoryMiB = usualMemoryMiB }: ArchiveReading,
): AsyncIterable<Uint8Array> {
  const said = new Capture();
  const options = [`--max-old-space-size=${memoryMiB}`];
  const words = [...options, filterProgram, String(limits.maxEntries), String(limits.maxBytes)];
  return outputOf(async (onStdout) => {
    const { words: line, env } = besideCell(cell, words);
    const input = framed(archives);
    const code = await runProgram(line, { env, input, onStdout, onOutput: (chunk) => said.add(chunk), signal });
    if (code === 0) return;
    if (code === failureExitCode) throw new RunFailure(said.text());
    if (exitCodeOfMemory(code))
      throw new RunFailure('the context cannot be unpacked: the names in its archive take too much memory');
    throw new Error(`the archive of the context could not be read: exit status ${code}: ${said.text()}`);
  });
}

/** What a program prints, as a stream that ends as the program does. */
function outputOf(work: (write: (chunk: Uint8Array) => Promise<void>) => Promise<void>): AsyncIterable<Uint8Array> {
  const output = new PassThrough();
  const write = (chunk: Uint8Array) =>
    new Promise<void>((resolve, reject) => {
      output.write(chunk, (cause) => (cause ? reject(cause) : resolve()));
    });
  work(write).then(
    () => output.end(),
    (cause: unknown) => output.destroy(cause instanceof Error ? cause : new Error(String(cause))),
  );
  output.on('error', () => {
    // Whoever reads it is told; nobody may read it any more.
  });
  return output;
}

/** Forms that Node does not read are read by programs of the machine, in the cell. */
async function* readableBy(
  cell: Cell,
  archives: AsyncIterable<AsyncIterable<Uint8Array>>,
  signal: AbortSignal,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  for await (const archive of archives) {
    const { head, whole } = await headOf(archive);
    if (begins(head, 0x42, 0x5a, 0x68)) yield decompressed(cell, 'bzip2', whole, signal);
    else if (begins(head, 0xfd, 0x37, 0x7a, 0x58)) yield decompressed(cell, 'xz', whole, signal);
    else yield whole;
  }
}

function decompressed(
  cell: Cell,
  program: 'bzip2' | 'xz',
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  return outputOf(async (onStdout) => {
    const code = await cell.run([program, '--decompress', '--stdout'], { input, signal, onStdout });
    if (code !== 0) throw new RunFailure(reasonOfEnd(program, code));
  });
}

function reasonOfEnd(program: string, code: number): string {
  return code === 127
    ? `the context is compressed with ${program}, which the agent's machine does not have: use gzip or zstd`
    : `the context is not an archive that can be read: ${program} ended with ${code}`;
}
