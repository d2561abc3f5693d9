import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { CheckpointAnswer, CheckpointRequest } from './sqlite-checkpoint-thread.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

/** Pages of 4 KiB that the WAL gathers before they are moved. */
const enoughPages = 4_000;
/** After a failure, a full disk say. */
const retryMs = 10_000;

export type CheckpointParts = {
  readonly file: string;
  readonly clock: Clock;
  readonly log: Pick<Log, 'error'> | undefined;
};

/**
 * Moves the WAL's pages into the database file on a thread of its own: the writes and syncs of a checkpoint would stop the
 * event loop for as long as the disk takes. The bulk is moved beside the writer; then the writer waits for the short rest,
 * because only a WAL of which nothing is left to move begins anew at its start.
 */
export class SqliteCheckpoints {
  readonly #parts: CheckpointParts;
  #thread: Worker | undefined;
  #state: 'idle' | 'moving' | 'restLeft' = 'idle';
  #notBeforeMs = 0;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
  }

  /** Begins a checkpoint when it is time for one. To be called after each commit; never throws. */
  afterCommit(connection: SqliteConnection): void {
    if (this.#state !== 'idle' || this.#parts.clock.monotonicMs() < this.#notBeforeMs) return;
    try {
      if (connection.unmovedPages() < enoughPages) return;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#state = 'moving';
    void this.#ask('passive').then((isDone) => {
      this.#state = isDone ? 'restLeft' : 'idle';
    });
  }

  /** Resolves at once but when the rest is to be moved. To be awaited before a transaction begins. */
  async beforeBegin(): Promise<void> {
    if (this.#state !== 'restLeft') return;
    await this.#ask('full');
    this.#state = 'idle';
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined) return;
    thread.ref();
    const ended = once(thread, 'exit');
    thread.postMessage('close' satisfies CheckpointRequest);
    await ended;
  }

  /** False when it failed; the WAL keeps what could not be moved. */
  async #ask(request: 'passive' | 'full'): Promise<boolean> {
    const fault = await this.#answerTo(request).catch((error: unknown) => error);
    if (fault !== undefined) this.#fail(fault);
    return fault === undefined;
  }

  async #answerTo(request: CheckpointRequest): Promise<string | undefined> {
    this.#thread ??= this.#start();
    const thread = this.#thread;
    const { promise: answered, resolve } = Promise.withResolvers<string | undefined>();
    const hear = ({ fault }: CheckpointAnswer) => resolve(fault);
    const lose = () => resolve('the thread of checkpoints ended');
    // While it works, it keeps the process alive.
    thread.ref();
    thread.on('message', hear).on('exit', lose);
    thread.postMessage(request);
    const fault = await answered;
    thread.off('message', hear).off('exit', lose);
    thread.unref();
    return fault;
  }

  #fail(error: unknown): void {
    this.#parts.log?.error('the database log could not be moved into the database file', { error });
    this.#notBeforeMs = this.#parts.clock.monotonicMs() + retryMs;
  }

  #start(): Worker {
    // The sources run as they are, and compiled.
    const program = new URL(`./sqlite-checkpoint-thread${extname(import.meta.filename)}`, import.meta.url);
    const thread = new Worker(program, { workerData: this.#parts.file });
    thread.on('error', (error) => this.#fail(error));
    thread.once('exit', () => {
      this.#thread = undefined;
    });
    return thread;
  }
}
