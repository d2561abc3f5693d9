import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { CheckpointAnswer, CheckpointRequest } from './sqlite-checkpoint-thread.ts';
import { SyncFailed } from './sqlite-commits.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

/** Pages of 4 KiB that the WAL gathers before they are moved. */
const enoughPages = 4_000;
/** After a failure, a full disk say, and while others hold the file. */
const retryMs = 10_000;

export type CheckpointParts = {
  readonly file: string;
  readonly clock: Clock;
  readonly log: Pick<Log, 'error'> | undefined;
  /** Called when the disk failed under a checkpoint: this process must write no more. */
  readonly onSyncFailed: (error: SyncFailed) => void;
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
  /** What the thread was asked last. */
  #asked: Promise<boolean> | undefined;
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

  /** Resolves when the checkpoint that is under way has ended, and the thread too. */
  async close(): Promise<void> {
    await this.#asked;
    const thread = this.#thread;
    if (thread === undefined) return;
    thread.ref();
    const ended = once(thread, 'exit');
    thread.postMessage('close' satisfies CheckpointRequest);
    await ended;
  }

  /** False when not all was moved; the WAL keeps the rest for later. */
  #ask(request: 'passive' | 'full'): Promise<boolean> {
    this.#asked = this.#answerTo(request).then(
      (answer) => this.#isDone(answer),
      (error: unknown) => {
        this.#fail(error);
        return false;
      },
    );
    return this.#asked;
  }

  #isDone(answer: CheckpointAnswer): boolean {
    if (answer.kind !== 'failed') {
      if (answer.kind === 'busy') this.#pause();
      return answer.kind === 'done';
    }
    if (answer.isDiskFault) this.#giveUp(answer.fault);
    else this.#fail(answer.fault);
    return false;
  }

  async #answerTo(request: CheckpointRequest): Promise<CheckpointAnswer> {
    this.#thread ??= this.#start();
    const thread = this.#thread;
    const { promise: answered, resolve } = Promise.withResolvers<CheckpointAnswer>();
    const hear = (answer: CheckpointAnswer) => resolve(answer);
    const lose = () => resolve({ kind: 'failed', fault: 'the thread of checkpoints ended', isDiskFault: false });
    // While it works, it keeps the process alive.
    thread.ref();
    thread.on('message', hear).on('exit', lose);
    thread.postMessage(request);
    const answer = await answered;
    thread.off('message', hear).off('exit', lose);
    thread.unref();
    return answer;
  }

  /**
   * SQLite may have counted pages as moved whose sync it left to this checkpoint, and would not write them again: nothing may
   * come after that begins the WAL anew.
   */
  #giveUp(fault: string): void {
    this.#notBeforeMs = Number.POSITIVE_INFINITY;
    this.#parts.onSyncFailed(new SyncFailed('the database file could not be written to disk', { cause: fault }));
  }

  #fail(error: unknown): void {
    this.#parts.log?.error('the database log could not be moved into the database file', { error });
    this.#pause();
  }

  #pause(): void {
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
