import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import type { Ids } from '../ids.ts';
import type { Log } from '../log.ts';
import { AccessBuffer, type Taken } from './access-buffer.ts';
import type { Access, AccessLog } from './access-log.ts';

export type AccessLogOptions = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Told when a batch could not be written; the batch is kept and written later. */
  readonly log: Log;
};

const flushMs = 1_000;
/** In one transaction. */
const batchesAtOnce = 8;

/** The access log in the metadata database; its stream begins anew with each process. */
export function createAccessLog(options: AccessLogOptions): AccessLog {
  const writer = new BatchWriter(options);
  return {
    record: (access) => writer.record(access),
    flush: () => writer.flush(),
    close: () => writer.close(),
  };
}

type Batch = {
  readonly stream: string;
  readonly seq: number;
  readonly first_at: number;
  readonly last_at: number;
  readonly count: number;
  readonly hash: string;
  readonly bytes: Uint8Array;
};

class BatchWriter {
  readonly #options: AccessLogOptions;
  readonly #stream: string;
  readonly #stop = new AbortController();
  readonly #buffer = new AccessBuffer();
  #previous: Pick<Batch, 'seq' | 'hash'> = { seq: 0, hash: '0'.repeat(64) };
  /** Made but not known to be written: written again with the same bytes until the database confirms them. */
  #unsent: readonly Batch[] = [];
  #timer: Promise<void> | undefined;
  #flushing: Promise<void> | undefined;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    this.#stream = options.ids.uid();
  }

  record(access: Access): void {
    this.#buffer.add(access, this.#options.clock.nowMicros());
    if (this.#buffer.isLarge && this.#flushing === undefined) this.#flushInBackground();
    this.#timer ??= this.#flushLater();
  }

  async flush(): Promise<void> {
    while (this.#flushing !== undefined)
      await this.#flushing.catch(() => {
        // Whoever started it hears of it; this flush tries again.
      });
    this.#flushing = this.#writeAll().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#timer;
    await this.flush();
  }

  async #flushLater(): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(flushMs, this.#stop.signal).catch(() => {
      // Closing ends the wait; close flushes what is left.
    });
    this.#timer = undefined;
    if (!this.#stop.signal.aborted) this.#flushInBackground();
  }

  #flushInBackground(): void {
    this.flush().catch((error: unknown) => {
      this.#options.log.warn('access batch not written', { error });
      if (!this.#stop.signal.aborted) this.#timer ??= this.#flushLater();
    });
  }

  async #writeAll(): Promise<void> {
    while (true) {
      if (this.#unsent.length === 0) this.#unsent = this.#nextBatches();
      if (this.#unsent.length === 0) return;
      await this.#write(this.#unsent);
      this.#unsent = [];
    }
  }

  #nextBatches(): Batch[] {
    const batches: Batch[] = [];
    while (batches.length < batchesAtOnce) {
      const taken = this.#buffer.take(this.#options.clock.nowMicros());
      if (taken === undefined) break;
      const batch = this.#batchOf(taken);
      batches.push(batch);
      this.#previous = batch;
    }
    return batches;
  }

  #batchOf(taken: Taken): Batch {
    // A twentieth of the size, for less than what writing it all would cost.
    const bytes = zstdCompressSync(taken.lines);
    const { firstAtMicros: first_at, lastAtMicros: last_at, count } = taken;
    const hash = createHash('sha256').update(this.#previous.hash).update(bytes).digest('hex');
    return { stream: this.#stream, seq: this.#previous.seq + 1, first_at, last_at, count, hash, bytes };
  }

  async #write(batches: readonly Batch[]): Promise<void> {
    await this.#options.database.transaction(
      (tx) =>
        tx
          .insertInto('access_batches')
          .values(batches)
          .onConflict((conflict) => conflict.columns(['stream', 'seq']).doNothing())
          .execute(),
      { mayBeLost: true },
    );
  }
}
