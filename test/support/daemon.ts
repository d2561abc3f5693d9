import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { environmentOfPrograms } from './test-environment.ts';

export type DaemonOptions = {
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output and standard error go to this file, appended. */
  readonly logFile: string;
  /** Added to this process's environment, without its BERTH_ variables; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
};

/**
 * A program that runs beside the test. It gets SIGTERM when this process ends in whatever way (setpriv's parent-death
 * signal), so that nothing stays behind a test that was killed.
 */
export class Daemon {
  readonly pid: number;
  /** Resolves with the exit code (128 + signal number when a signal ended it). */
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  #running = true;

  constructor(options: DaemonOptions) {
    const log = openSync(options.logFile, 'a');
    this.#logFile = options.logFile;
    this.#child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', options.command, ...options.args], {
      cwd: options.cwd,
      env: { ...environmentOfPrograms(), ...options.env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('exit', (code, signal) => {
        this.#running = false;
        resolve(code ?? (signal === 'SIGKILL' ? 137 : 143));
      });
    });
    // Whoever awaits it gets the error too; a daemon that nobody awaits must not end the test process.
    this.exited.catch(() => {});
    if (this.#child.pid === undefined) throw new Error(`cannot start ${options.command}`);
    this.pid = this.#child.pid;
  }

  get running(): boolean {
    return this.#running;
  }

  /** All that it printed so far. */
  log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#running) this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL after `graceMs`; resolves with the exit code. */
  async stop(graceMs = 40_000): Promise<number> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<number> {
    this.signal('SIGKILL');
    return await this.exited;
  }
}
