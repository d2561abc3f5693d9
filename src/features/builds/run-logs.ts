import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import { keepBytes, storeBytes } from './kept-bytes.ts';
import type { RunStatus } from './run.ts';
import { logChunks } from './run-log-store.ts';
import { isFinal, statusOf } from './run-store.ts';

export type RunLogsParts = { readonly database: Database; readonly store: BlobStore; readonly clock: Clock };

/** How a log stands. */
export type RunLog = {
  readonly uid: string;
  readonly sizeBytes: number;
  readonly changedAtMicros: number;
  /** Undefined while more may come. */
  readonly status: RunStatus | undefined;
  readonly storageKey: string | undefined;
};

const chunksAtOnce = 64;

/** What runs print: in pieces while they are at work, in one stored object after their end. */
export class RunLogs {
  readonly #parts: RunLogsParts;

  constructor(parts: RunLogsParts) {
    this.#parts = parts;
  }

  /** Empty before its first byte; undefined for an unknown run. */
  async find(registryUid: string, runId: string): Promise<RunLog | undefined> {
    const row = await this.#parts.database.read
      .selectFrom('runs')
      .select(['uid', 'status', 'log_size', 'log_key', 'changed_at'])
      .where('registry_uid', '=', registryUid)
      .where('run_id', '=', runId)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return {
      uid: row.uid,
      sizeBytes: row.log_size,
      changedAtMicros: row.changed_at,
      status: isFinal(row.status) ? statusOf(row) : undefined,
      storageKey: row.log_key ?? undefined,
    };
  }

  /** Half-open, in bytes, within what `find` told of. */
  async *read(
    log: RunLog,
    { start, end }: { readonly start: number; readonly end: number },
  ): AsyncGenerator<Uint8Array> {
    if (start >= end) return;
    if (log.storageKey !== undefined) return yield* this.#parts.store.read(log.storageKey, { start, end });
    let at = start;
    while (at < end) {
      const chunks = await logChunks(this.#parts.database.read, log.uid, { start: at, limit: chunksAtOnce });
      const before = at;
      for (const { offset, bytes } of chunks) {
        if (offset >= end || offset + bytes.length <= at) continue;
        yield bytes.subarray(at - offset, end - offset);
        at = Math.min(end, offset + bytes.length);
      }
      if (at === before) return yield* this.#moved(log, { start: at, end });
    }
  }

  /** Puts the log of a run that has ended in one piece. Nothing happens when it is. */
  async seal(uid: string): Promise<void> {
    const { database, store, clock } = this.#parts;
    const row = await database.read.selectFrom('runs').selectAll().where('uid', '=', uid).executeTakeFirst();
    if (row === undefined || !isFinal(row.status) || row.log_key !== null || row.log_size === 0) return;
    const log = { uid, sizeBytes: row.log_size, changedAtMicros: 0, status: undefined, storageKey: undefined };
    const stored = await storeBytes(store, this.read(log, { start: 0, end: row.log_size }));
    if (stored.sizeBytes !== row.log_size) throw new Error(`the log of the run ${row.run_id} is not whole`);
    await database.transaction(async (tx) => {
      const query = tx.selectFrom('runs').select(['uid', 'log_key']).where('uid', '=', uid);
      const current = await lockedForUpdate(database.kind, query).executeTakeFirst();
      // Removed, or in one piece by another process: these bytes are an orphan.
      if (current === undefined || current.log_key !== null) return;
      await keepBytes(tx, row.registry_uid, stored, clock.nowMicros());
      await tx.updateTable('runs').set({ log_key: stored.storageKey }).where('uid', '=', uid).execute();
      await tx.deleteFrom('run_log_chunks').where('run_uid', '=', uid).execute();
    });
  }

  /** The pieces left while they were read: the log is in one piece now. */
  async *#moved(log: RunLog, range: { readonly start: number; readonly end: number }): AsyncGenerator<Uint8Array> {
    const row = await this.#parts.database.read
      .selectFrom('runs')
      .select('log_key')
      .where('uid', '=', log.uid)
      .executeTakeFirst();
    if (row?.log_key) yield* this.#parts.store.read(row.log_key, range);
  }
}
