import { createHash } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import { chainStart } from '../../platform/journal/event-bytes.ts';
import type { Log } from '../../platform/log.ts';
import { listAccessStreams } from './access-streams.ts';
import { appendStatement, type CheckpointParts } from './audit-checkpoints.ts';
import { forgetBatch, indexedSeq } from './audit-index.ts';
import { readBatches, type SegmentCheckpoint, segmentBytes } from './audit-segment.ts';
import { parseStatement } from './audit-statement.ts';
import { forgottenInPieces, takeOut, withForgotten } from './forgotten-segment.ts';

export type AuditArchiveParts = CheckpointParts & {
  readonly log: Log;
  readonly tenantUid: string;
  /** Accesses older than this leave the database. */
  readonly retentionMs: number;
  /** Where they go; without one they are gone. */
  readonly archive: StoreNotes | undefined;
};

type ArchiveRun = Pick<JobRun, 'signal' | 'renew'>;

export type SegmentRow = Selectable<Schema['audit_segments']>;
export type NewSegment = Omit<SegmentRow, 'number' | 'is_removed' | 'created_at'>;

const everyMs = 600_000;
const leaseMs = 60_000;
/** A segment has as many batches and bytes (compressed) at most, */
const maxBatches = 200;
const maxBytes = 512 * 1024;
/** or is this much longer in the database than it has to: a stream with few accesses has a segment a day. */
const gatherMicros = 86_400_000_000;

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

  async run(job: ArchiveRun): Promise<void> {
    const { database } = this.#parts;
    await this.#removeArchived(job);
    for (const { stream } of await listAccessStreams(database.read))
      while (await this.#archiveNext(stream, job)) job.signal.throwIfAborted();
    await this.#removeArchived(job);
    await this.#joinForgotten(job);
  }

  /**
   * What older programs removed for good has a row and a statement for each piece: one says as much. Of each stream some are joined in
   * a run, so that what is read and written at once is bounded, and the next run goes on.
   */
  async #joinForgotten({ signal, renew }: ArchiveRun): Promise<void> {
    const { database, sealer } = this.#parts;
    for (const stream of await streamsInPieces(database.read)) {
      signal.throwIfAborted();
      await database.transaction(async (tx) => {
        const pieces = await forgottenInPieces(tx, sealer, await listSegments(tx, stream));
        if (pieces !== undefined) await this.#join(tx, pieces);
      });
      await renew();
    }
  }

  async #join(tx: Transaction, pieces: readonly [SegmentRow, ...SegmentRow[]]): Promise<void> {
    const [{ first_seq, first_at, previous_hash }] = pieces;
    const joined = { ...(pieces.at(-1) ?? pieces[0]), first_seq, first_at, previous_hash };
    await takeOut(tx, pieces);
    await tx.insertInto('audit_segments').values(joined).execute();
    await this.#sign(tx, joined);
  }

  /** Writes one segment of a stream; false when there is none to write yet. */
  async #archiveNext(stream: string, job: ArchiveRun): Promise<boolean> {
    const { database, log, archive } = this.#parts;
    const last = await lastSegment(database.read, stream);
    const beforeMicros = this.#oldMicros();
    const batches = await this.#oldBatches(stream, last?.last_seq ?? 0, beforeMicros);
    const [first, final] = [batches[0], batches.at(-1)];
    if (first === undefined || final === undefined) return false;
    const previousHash = last?.last_hash ?? chainStart;
    const checkpoints = await checkpointsOf(database.read, stream, first.seq, final.seq);
    const statements = checkpoints
      .map(({ statement }) => parseStatement(statement))
      .filter((each) => each !== undefined);
    const signed = new Map(statements.map(({ seq, hash }) => [seq, hash]));
    const read = await readBatches(batches, { previousHash, signed, beforeMicros });
    if ('reason' in read) {
      // To remove it, and to sign that, would hide who changed it: it stays for `berth audit verify`.
      log.error('accesses stay in the database', { stream, batch: read.at, reason: read.reason });
      return false;
    }
    const bytes = await segmentBytes({ stream, previousHash, batches: read, checkpoints });
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const name = archive === undefined ? '' : nameOf(stream, first.seq, final.seq, sha256);
    await job.renew();
    await archive?.put(name, bytes);
    await database.transaction((tx) =>
      this.#note(tx, last?.last_seq, {
        stream,
        first_seq: first.seq,
        last_seq: final.seq,
        first_at: first.first_at,
        last_at: final.last_at,
        previous_hash: previousHash,
        last_hash: final.hash,
        name,
        sha256,
      }),
    );
    return true;
  }

  /** Notes a segment, signed, unless another run went on behind `afterSeq` while this one stood still: what that wrote holds. */
  async #note(tx: Transaction, afterSeq: number | undefined, segment: NewSegment): Promise<void> {
    const { stream } = segment;
    // The number first: who else comes to the same one fails by its key, and who comes later sees this segment as the last.
    const { number } = await tx
      .selectFrom('audit_segments')
      .select((at) => at.fn.max('number').as('number'))
      .executeTakeFirstOrThrow();
    const last = await lastSegment(tx, stream);
    if (last?.last_seq !== afterSeq) return;
    const whole = await withForgotten(tx, this.#parts.sealer, last, segment);
    await tx
      .insertInto('audit_segments')
      .values({ number: (number ?? 0) + 1, ...whole, is_removed: 0, created_at: this.#parts.clock.nowMicros() })
      .execute();
    await this.#sign(tx, whole);
  }

  async #sign(tx: Transaction, removed: NewSegment): Promise<void> {
    const { stream, first_seq: firstSeq, last_seq: seq, last_hash: hash, name, sha256 } = removed;
    const head = { source: 'access', stream, incarnation: '', seq, hash, segment: { firstSeq, name, sha256 } } as const;
    while (!(await appendStatement(tx, this.#parts, head)));
  }

  #oldMicros(): number {
    return this.#parts.clock.nowMicros() - this.#parts.retentionMs * 1_000;
  }

  /** What of a stream is old enough, noted by the index, and enough for a segment. */
  async #oldBatches(stream: string, afterSeq: number, oldMicros: number) {
    const { database } = this.#parts;
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
  async #removeArchived({ signal, renew }: ArchiveRun): Promise<void> {
    const { database } = this.#parts;
    const rows = await database.read.selectFrom('audit_segments').selectAll().where('is_removed', '=', 0).execute();
    for (const { number, stream, first_seq, last_seq } of rows) {
      for (let after = first_seq - 1; ; ) {
        signal.throwIfAborted();
        const seq = await nextBatch(database.read, stream, after);
        if (seq === undefined || seq > last_seq) break;
        await forgetBatch(this.#parts, stream, seq);
        after = seq;
        await renew();
      }
      await database.transaction((tx) =>
        tx.updateTable('audit_segments').set({ is_removed: 1 }).where('number', '=', number).execute(),
      );
    }
  }
}

/** Of what is in it: a file never takes the place of another. */
function nameOf(stream: string, firstSeq: number, lastSeq: number, sha256: string): string {
  const [first, last] = [firstSeq, lastSeq].map((seq) => String(seq).padStart(10, '0'));
  return `audit.${stream}.${first}-${last}.${sha256.slice(0, 16)}.jsonl.zst`;
}

function lengthWhile<T>(list: readonly T[], holds: (item: T) => boolean): number {
  const end = list.findIndex((item) => !holds(item));
  return end < 0 ? list.length : end;
}

async function lastSegment(queries: Queries, stream: string): Promise<SegmentRow | undefined> {
  return await queries
    .selectFrom('audit_segments')
    .selectAll()
    .where('stream', '=', stream)
    .orderBy('last_seq', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/**
 * Of which two segments that follow each other left for good. Once they are one row the stream is not among these; it stays only where
 * nobody signed them, as somebody wrote rows, which `berth audit verify` names.
 */
async function streamsInPieces(queries: Queries): Promise<string[]> {
  const rows = await queries
    .selectFrom('audit_segments as later')
    .innerJoin('audit_segments as earlier', (join) =>
      join
        .onRef('earlier.stream', '=', 'later.stream')
        .on((at) => at('earlier.last_seq', '=', at('later.first_seq', '-', 1)))
        .onRef('earlier.last_hash', '=', 'later.previous_hash'),
    )
    .select('later.stream')
    .distinct()
    .where('later.name', '=', '')
    .where('later.is_removed', '=', 1)
    .where('earlier.name', '=', '')
    .where('earlier.is_removed', '=', 1)
    .execute();
  return rows.map(({ stream }) => stream);
}

async function nextBatch(queries: Queries, stream: string, after: number): Promise<number | undefined> {
  const row = await queries
    .selectFrom('access_batches')
    .select('seq')
    .where('stream', '=', stream)
    .where('seq', '>', after)
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  return row?.seq;
}

/** How far a stream was moved, in how many segments. */
export type SegmentsEnd = { readonly seq: number; readonly count: number };

export async function segmentEnds(queries: Queries): Promise<ReadonlyMap<string, SegmentsEnd>> {
  const rows = await queries
    .selectFrom('audit_segments')
    .select((at) => ['stream', at.fn.max('last_seq').as('seq'), at.fn.countAll<number>().as('count')])
    .groupBy('stream')
    .execute();
  return new Map(rows.map(({ stream, seq, count }) => [stream, { seq, count: Number(count) }]));
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
