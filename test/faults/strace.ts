import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { waitFor } from '../support/wait-for.ts';

/** One finished system call; a call that others interrupted in the record is one call all the same. */
export type SystemCall = {
  readonly name: string;
  /** Arguments and result as strace prints them; file descriptors with their path. */
  readonly text: string;
  /** Lines of the record at which it began and ended. */
  readonly begin: number;
  readonly end: number;
};

/** Follows every thread of a running process. Disposing lets the process go on alone. */
export class Strace {
  readonly #file: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(file: string, child: ChildProcess) {
    this.#file = file;
    this.#process = child;
    this.#exited = once(child, 'exit');
  }

  /** Resolves when the process is being followed. `options` are those of strace(1); the record goes to `file`. */
  static async attach(pid: number, file: string, options: readonly string[]): Promise<Strace> {
    writeFileSync(file, '');
    const args = ['-f', '-y', '-s', '60', '-o', file, ...options, '-p', String(pid)];
    const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const messages: string[] = [];
    child.stderr.on('data', (chunk: Buffer) => messages.push(chunk.toString()));
    const strace = new Strace(file, child);
    await waitFor('strace follows the server', 60_000, () => {
      // The program may have died of the first injected error by then, and strace with it.
      if (messages.join('').includes(`Process ${pid} attached`)) return true;
      if (child.exitCode !== null) throw new Error(messages.join(''));
      return false;
    });
    return strace;
  }

  async detach(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGINT');
    await this.#exited;
  }

  /** How many calls were given an error by `-e inject`. */
  injected(): number {
    return readFileSync(this.#file, 'utf8').split('(INJECTED)').length - 1;
  }

  /** What was recorded so far; complete after `detach`. */
  calls(): SystemCall[] {
    const open = new Map<string, { readonly head: string; readonly begin: number }>();
    return readFileSync(this.#file, 'utf8')
      .split('\n')
      .flatMap((line, number) => {
        const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
        if (rest.endsWith('<unfinished ...>')) {
          open.set(thread, { head: rest.slice(0, -'<unfinished ...>'.length), begin: number });
          return [];
        }
        const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest);
        const head = resumed === null ? undefined : open.get(thread);
        const text = `${head?.head ?? ''}${resumed?.[1] ?? rest}`;
        const name = /^(\w+)\(/.exec(text)?.[1];
        return name === undefined ? [] : [{ name, text, begin: head?.begin ?? number, end: number }];
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.detach();
  }
}
