import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export type ProgramOptions = {
  /** All that the program sees: nothing of ours is handed on. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Both streams in the order of arrival. Backpressure: the program waits while this has not resolved. */
  readonly onOutput?: (chunk: Uint8Array) => Promise<void> | void;
  /** Standard output alone; then `onOutput` gets standard error alone. */
  readonly onStdout?: (chunk: Uint8Array) => Promise<void> | void;
  /** Ends the program: SIGTERM, SIGKILL after the grace. */
  readonly signal?: AbortSignal;
  readonly graceMs?: number;
  /** A descriptor of ours that the program has as its descriptor 3. */
  readonly openFile?: number;
};

const defaultGraceMs = 5_000;
const maxCapturedBytes = 4 * 1024 * 1024;

/** A program that ended with another code than 0, or could not be started. `output` is the end of what it printed. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
  readonly exitCode: number;
  readonly output: string;

  constructor(program: string, exitCode: number, output: string) {
    super(`${program}: exit status ${exitCode}${output === '' ? '' : `: ${output.trim().slice(-2000)}`}`);
    this.exitCode = exitCode;
    this.output = output;
  }
}

/**
 * Runs a program by its words, never through a shell. Resolves with its exit code (128 + signal when a signal ended it), or
 * rejects with the signal's reason once the program is gone. Throws ProgramError when it cannot be started.
 */
export async function runProgram(words: readonly string[], options: ProgramOptions): Promise<number> {
  const { signal } = options;
  signal?.throwIfAborted();
  const [command = '', ...args] = words;
  const child = spawn(command, args, {
    env: { ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ['pipe', 'pipe', 'pipe', ...(options.openFile === undefined ? [] : [options.openFile])],
  });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new TypeError('a program has three pipes');
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', (cause) => reject(new ProgramError(command, 127, cause.message)));
    child.once('close', (code, ending) => resolve(code ?? 128 + (ending === null ? 15 : constants.signals[ending])));
  });
  let killer: NodeJS.Timeout | undefined;
  const end = () => {
    child.kill('SIGTERM');
    killer = setTimeout(() => {
      child.kill('SIGKILL');
      // What it started may hold its output open; nobody waits for that.
      stdout.destroy();
      stderr.destroy();
    }, options.graceMs ?? defaultGraceMs);
  };
  signal?.addEventListener('abort', end, { once: true });
  try {
    const [code] = await Promise.all([
      ended,
      drain(stdout, options.onStdout ?? options.onOutput, signal),
      drain(stderr, options.onOutput, signal),
      feed(stdin, options.input),
    ]);
    signal?.throwIfAborted();
    return code;
  } finally {
    clearTimeout(killer);
    signal?.removeEventListener('abort', end);
  }
}

/** What a program printed on standard output. Throws ProgramError with the end of both streams when it fails. */
export async function readProgram(words: readonly string[], options: ProgramOptions): Promise<string> {
  const [stdout, stderr] = [new Capture(), new Capture()];
  const code = await runProgram(words, {
    ...options,
    onStdout: (chunk) => stdout.add(chunk),
    onOutput: (chunk) => stderr.add(chunk),
  });
  if (code !== 0) throw new ProgramError(words[0] ?? '', code, `${stdout.text()}${stderr.text()}`);
  return stdout.text();
}

/** The first 4 MiB of a stream as text. */
export class Capture {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  add(chunk: Uint8Array): void {
    if (this.#size < maxCapturedBytes) this.#chunks.push(chunk.subarray(0, maxCapturedBytes - this.#size));
    this.#size += chunk.byteLength;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

async function drain(stream: Readable, onChunk: ProgramOptions['onOutput'], signal?: AbortSignal): Promise<void> {
  try {
    for await (const chunk of stream) await onChunk?.(chunk);
  } catch (cause) {
    if (signal?.aborted !== true) throw cause;
  }
}

/** A program that ends without reading its input closes the pipe; its exit code tells the story. */
async function feed(stdin: Writable, input: ProgramOptions['input']): Promise<void> {
  stdin.on('error', () => {
    // See above: the pipe's end is no error of ours.
  });
  if (input === undefined || input instanceof Uint8Array) {
    stdin.end(input);
    return;
  }
  const closed = once(stdin, 'close').catch(() => undefined);
  try {
    await pipeline(Readable.from(input, { objectMode: false }), stdin);
  } catch (cause) {
    if (!isClosedPipe(cause)) throw cause;
  }
  await closed;
}

function isClosedPipe(cause: unknown): boolean {
  return (
    cause instanceof Error && 'code' in cause && (cause.code === 'EPIPE' || cause.code === 'ERR_STREAM_PREMATURE_CLOSE')
  );
}
