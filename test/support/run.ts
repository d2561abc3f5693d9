import { spawn } from 'node:child_process';
import { environmentOfPrograms } from './test-environment.ts';

export type RunOptions = {
  /** Added to this process's environment, without its BERTH_ variables. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Written to standard input, which is closed afterwards; without it standard input is empty. */
  readonly input?: string | Uint8Array;
  /** The program is killed after this many milliseconds; five minutes when absent. */
  readonly timeoutMs?: number;
};

export type Outcome = {
  /** Exit code; 128 + signal number as a shell has it when a signal ended the program. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both streams in the order in which they arrived: what a person at a terminal reads. */
  readonly output: string;
  /** The command line, for messages. */
  readonly command: string;
};

/** A program could not be started, or ended with a code other than 0; the message holds what it printed. */
export class RunError extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super(`${outcome.command}\nexit code ${outcome.code}\n${outcome.output}`);
    this.name = 'RunError';
    this.outcome = outcome;
  }
}

/** Runs a program to its end and returns what it printed, whatever its exit code. Throws only when it cannot be started. */
export async function tryRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...environmentOfPrograms(), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 300_000,
    killSignal: 'SIGKILL',
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const both: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => both.push(chunk) && stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => both.push(chunk) && stderr.push(chunk));
  // A program that ends without reading its input closes the pipe; its exit code tells the story.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) => resolve(exitCode ?? (signal === 'SIGKILL' ? 137 : 143)));
  });
  const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString('utf8');
  return {
    code,
    stdout: text(stdout),
    stderr: text(stderr),
    output: text(both),
    command: [command, ...args].join(' '),
  };
}

/** Runs a program to its end; throws `RunError` with everything it printed when the exit code is not 0. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const outcome = await tryRun(command, args, options);
  if (outcome.code !== 0) throw new RunError(outcome);
  return outcome;
}
