import { createHash } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import { chainStart } from '../../platform/journal/event-bytes.ts';
import type { Log } from '../../platform/log.ts';
import { listAccessStreams } from './access-streams.ts';
import { forgetBatches, indexedSeq } from './audit-index.ts';
import { type SegmentCheckpoint, segmentBytes } from './audit-segment.ts';

export type AuditArchiveParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly tenantUid: string;
  /** Accesses older than this leave the database. */
  readonly retentionMs: number;
  /** Where they go; without one they are gone. */
  readonly archive: StoreNotes | undefined;
};

export type SegmentRow = Selectable<Schema['audit_segments']>;

const everyMs = 600_000;
const leaseMs = 60_000;
/** A segment has as many batches and bytes (compressed) at most, */
const maxBatches = 200;
const maxBytes = 512 * 1024;
/** or is this much longer in the database than it has to: a stream with few accesses has a segment a day. */
const gatherMicros = 86_400_000_000;
const removedAtOnce = 10;

/**
 * Moves what was accessed long ago from the database into segments of an archive. What changed stays: other parts of the program
 * read its history. A crash anywhere leaves accesses in both places, and the next run goes on.
 */
export class AuditArchive {
  readonly #parts: AuditArchiveParts;

  constructor(parts: AuditArchiveParts) {
    this.#parts = parts;
  }

  jobKind(): JobKind {
    return { kind: 'audit.archive', run: (job) => this.run(job), leaseMs, maxAttempts: 10, everyMs };
  }

  async run(job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    const { database } = this.#parts;
    await this.#removeArchived(job);
    for (const { stream } of await listAccessStreams(database.read))
      while (await this.#archiveNext(stream)) {
        job.signal.throwIfAborted();
        await job.renew();
      }
    await this.#removeArchived(job);
  }

  /** Writes one segment of a stream; false when there is none to write yet. */
  async #archiveNext(stream: string): Promise<boolean> {
    const { database, clock, archive } = this.#parts;
    const last = await lastSegment(database.read, stream);
    const batches = await this.#oldBatches(stream, last?.last_seq ?? 0);
    const [first, final] = [batches[0], batches.at(-1)];
    if (first === undefined || final === undefined) return false;
    const previousHash = last?.last_hash ?? chainStart;
    const checkpoints = await checkpointsOf(database.read, stream, first.seq, final.seq);
    const bytes = segmentBytes({ stream, previousHash, batches, checkpoints });
    const name = archive === undefined ? '' : `audit.${stream}.${String(first.seq).padStart(10, '0')}.jsonl.zst`;
    await archive?.put(name, bytes);
    await database.transaction(async (tx) => {
      const { number } = await tx
        .selectFrom('audit_segments')
        .select((at) => at.fn.max('number').as('number'))
        .executeTakeFirstOrThrow();
      // Two that archive the same are held apart by the lease, and by the key.
      await tx
        .insertInto('audit_segments')
        .values({
          number: (number ?? 0) + 1,
          stream,
          first_seq: first.seq,
          last_seq: final.seq,
          first_at: first.first_at,
          last_at: final.last_at,
          previous_hash: previousHash,
          last_hash: final.hash,
          name,
          sha256: createHash('sha256').update(bytes).digest('hex'),
          is_removed: 0,
          created_at: clock.nowMicros(),
        })
        .execute();
    });
    return true;
  }

  /** What of a stream is old enough, noted by the index, and enough for a segment. */
  async #oldBatches(stream: string, afterSeq: number) {
    const { database, clock, retentionMs } = this.#parts;
    const oldMicros = clock.nowMicros() - retentionMs * 1_000;
    const rows = await database.read
      .selectFrom('access_batches')
      .select(['seq', 'hash', 'bytes', 'first_at', 'last_at'])
      .where('stream', '=', stream)
      .where('seq', '>', afterSeq)
      .where('seq', '<=', await indexedSeq(database.read, stream))
      .orderBy('seq')
      .limit(maxBatches)
      .execute();
    const old = rows.slice(
      0,
      lengthWhile(rows, ({ last_at }) => last_at < oldMicros),
    );
    let sizeBytes = 0;
    const fitting = Math.max(
      1,
      lengthWhile(old, ({ bytes }) => {
        sizeBytes += bytes.byteLength;
        return sizeBytes <= maxBytes;
      }),
    );
    const isFull = fitting < old.length || old.length === maxBatches;
    const isDue = (old[0]?.last_at ?? oldMicros) < oldMicros - gatherMicros;
    return isFull || isDue ? old.slice(0, fitting) : [];
  }

  /** Takes what is in a segment out of the database. */
  async #removeArchived({ signal, renew }: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    const { database, tenantUid } = this.#parts;
    const rows = await database.read.selectFrom('audit_segments').selectAll().where('is_removed', '=', 0).execute();
    for (const { number, stream, first_seq, last_seq } of rows) {
      for (let seq = first_seq; seq <= last_seq; seq += removedAtOnce) {
        signal.throwIfAborted();
        const range = { stream, first: seq, last: Math.min(last_seq, seq + removedAtOnce - 1) };
        await database.transaction((tx) => forgetBatches(tx, tenantUid, range));
        await renew();
      }
      await database.transaction((tx) =>
        tx.updateTable('audit_segments').set({ is_removed: 1 }).where('number', '=', number).execute(),
      );
    }
  }
}

function lengthWhile<T>(list: readonly T[], holds: (item: T) => boolean): number {
  const end = list.findIndex((item) => !holds(item));
  return end < 0 ? list.length : end;
}

async function lastSegment(queries: Queries, stream: string) {
  return await queries
    .selectFrom('audit_segments')
    .select(['last_seq', 'last_hash'])
    .where('stream', '=', stream)
    .orderBy('last_seq', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Segments of a stream, in order. */
export async function listSegments(queries: Queries, stream: string): Promise<SegmentRow[]> {
  return await queries
    .selectFrom('audit_segments')
    .selectAll()
    .where('stream', '=', stream)
    .orderBy('last_seq')
    .execute();
}

async function checkpointsOf(
  queries: Queries,
  stream: string,
  first: number,
  last: number,
): Promise<SegmentCheckpoint[]> {
  const rows = await queries
    .selectFrom('audit_checkpoints as c')
    .innerJoin('audit_keys as k', 'k.uid', 'c.key_uid')
    .select(['c.statement', 'c.signature', 'k.public_key as publicKey'])
    .where('c.source', '=', 'access')
    .where('c.stream', '=', stream)
    .where('c.incarnation', '=', '')
    .where('c.seq', '>=', first)
    .where('c.seq', '<=', last)
    .orderBy('c.seq')
    .execute();
  return rows.map((row) => ({ ...row }));
}
