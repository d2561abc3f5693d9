import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import type { Journal, JournalEvent } from '../../platform/journal/journal.ts';
import { runConsumer } from '../../platform/journal/run-consumer.ts';
import type { Log } from '../../platform/log.ts';
import { linesOfBatch } from './access-batch.ts';
import { listAccessStreams } from './access-streams.ts';
import { type AuditRecord, recordOfEvent, subjectOfAccess } from './audit-record.ts';
import {
  byTerm,
  hourOf,
  type NoteOfPiece,
  notesOf,
  type Piece,
  type Sample,
  type Subject,
  writeNotes,
} from './audit-terms.ts';
import { withNames } from './principal-names.ts';
import { SharedPasses } from './shared-passes.ts';

export type AuditIndexParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  /** What belongs to no registry is found under it. */
  readonly tenantUid: string;
};

export const auditConsumer = 'audit';
/** What notes accesses, in `journal_cursors`. */
export const accessConsumer = 'audit.access';
/** Events that come within this are indexed together: the index then costs a small part of what the events did. */
const gatherMs = 1_000;
/** Written in one transaction, which keeps others from writing: a batch may hold thousands of terms. */
const notesAtOnce = 100;
/** Batches of accesses that are noted together: what they share is written side by side, a small part of the pages that it is by itself. */
const batchesAtOnce = 64;
/** Noted together at most, as they are put in order in one go. */
const mostNotes = 20_000;
/** Removed in one transaction. */
const termsAtOnce = 200;
/** Queries have what is new noted first: between them it may wait, as it takes time from requests. */
const indexEveryMs = 30_000;

/** Keeps track of where in journal and access log the entries of each registry, identity, repository and operation are. */
export class AuditIndex {
  readonly #parts: AuditIndexParts;

  constructor(parts: AuditIndexParts) {
    this.#parts = parts;
  }

  /** Follows the journal until the signal is aborted. */
  async follow(signal: AbortSignal): Promise<void> {
    await runConsumer({
      ...this.#parts,
      name: auditConsumer,
      follows: () => true,
      handle: async (events) => {
        await this.#noteEvents(events);
        await this.#parts.clock.sleep(gatherMs, signal).catch(() => {
          // Stopping: the events are noted.
        });
      },
      signal,
    });
  }

  /** Follows the access log. */
  jobKind(): JobKind {
    return {
      kind: 'audit.accesses',
      run: ({ renew }) => indexAccesses(this.#parts, renew),
      leaseMs: 60_000,
      maxAttempts: 10,
      everyMs: indexEveryMs,
    };
  }

  async indexAccesses(): Promise<void> {
    await indexAccesses(this.#parts);
  }

  async #noteEvents(events: readonly JournalEvent[]): Promise<void> {
    const [first, last] = [events[0], events.at(-1)];
    if (first === undefined || last === undefined) return;
    const { stream, incarnation } = first;
    const piece = { source: 'journal', stream, incarnation, firstSeq: first.seq, lastSeq: last.seq } as const;
    await note(this.#parts.database, notesOfPiece(this.#parts, piece, events.map(recordOfEvent).map(sampleOf)));
  }
}

export type AccessIndexParts = Pick<AuditIndexParts, 'database' | 'clock' | 'tenantUid'>;

const passes = new SharedPasses<Database>();

/** Notes every batch of accesses that was not noted yet; all who ask at once share the work. `renew` says that it goes on. */
export async function indexAccesses(parts: AccessIndexParts, renew?: () => Promise<void>): Promise<void> {
  const noteAll = async (step: () => Promise<void>) => {
    for (const stream of await accessStreams(parts)) while (await indexSome(parts, stream)) await step();
  };
  await passes.run(parts.database, noteAll, renew);
}

/** Streams of processes whose last batch is not noted. */
async function accessStreams({ database: { read } }: AccessIndexParts): Promise<string[]> {
  const done = await read.selectFrom('journal_cursors').selectAll().where('consumer', '=', accessConsumer).execute();
  const doneSeq = new Map(done.map(({ stream, seq }) => [stream, seq]));
  const all = await listAccessStreams(read);
  return all.filter(({ stream, seq }) => seq > (doneSeq.get(stream) ?? 0)).map(({ stream }) => stream);
}

/**
 * Notes the next batches of a stream; false when there are none. A query and the job may come to the same ones: what one has noted, the
 * other leaves as it is.
 */
async function indexSome(parts: AccessIndexParts, stream: string): Promise<boolean> {
  const { database, clock } = parts;
  const before = await indexedSeq(database.read, stream);
  const notes: NoteOfPiece[] = [];
  let seq = before;
  for (let batches = 0; batches < batchesAtOnce && notes.length < mostNotes; batches += 1) {
    const batch = await batchBehind(database.read, stream, seq);
    if (batch === undefined) break;
    seq = batch.seq;
    const piece = { source: 'access', stream, incarnation: '', firstSeq: seq, lastSeq: seq } as const;
    const samples = await withSampleNames(database.kind, database.read, samplesOfBatch(batch.bytes));
    for (const each of notesOfPiece(parts, piece, samples)) notes.push(each);
  }
  if (seq === before) return false;
  await note(database, notes);
  const place = { incarnation: '', seq, changed_at: clock.nowMicros() };
  await database.transaction(
    (tx) =>
      tx
        .insertInto('journal_cursors')
        .values({ consumer: accessConsumer, stream, ...place })
        .onConflict((conflict) =>
          conflict.columns(['consumer', 'stream']).doUpdateSet(place).where('journal_cursors.seq', '<', seq),
        )
        .execute(),
    { mayBeLost: true },
  );
  return true;
}

async function batchBehind(queries: Queries, stream: string, seq: number) {
  return await queries
    .selectFrom('access_batches')
    .select(['seq', 'bytes'])
    .where('stream', '=', stream)
    .where('seq', '>', seq)
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
}

/** The last batch of a stream that was noted. */
export async function indexedSeq(queries: Queries, stream: string): Promise<number> {
  const row = await queries
    .selectFrom('journal_cursors')
    .select('seq')
    .where('consumer', '=', accessConsumer)
    .where('stream', '=', stream)
    .executeTakeFirst();
  return row?.seq ?? 0;
}

/**
 * Removes a batch, and what was noted of it: but for what was noted under a name that its owner has no more. Step by step, so that
 * others can write in between; when killed on the way it can be done again.
 */
export async function forgetBatch(
  { database, tenantUid }: Pick<AuditIndexParts, 'database' | 'tenantUid'>,
  stream: string,
  seq: number,
): Promise<void> {
  const batch = await database.read
    .selectFrom('access_batches')
    .select('bytes')
    .where('stream', '=', stream)
    .where('seq', '=', seq)
    .executeTakeFirst();
  if (batch === undefined) return;
  const samples = await withSampleNames(database.kind, database.read, samplesOfBatch(batch.bytes));
  const notes = notesOf(tenantUid, samples);
  for (let start = 0; start < notes.length; start += termsAtOnce)
    await database.transaction(async (tx) => {
      for (const { term, last_at } of notes.slice(start, start + termsAtOnce))
        await tx
          .deleteFrom('audit_terms')
          .where('term', '=', term)
          .where('last_at', '=', last_at)
          .where('source', '=', 'access')
          .where('stream', '=', stream)
          .where('incarnation', '=', '')
          .where('first_seq', '=', seq)
          .execute();
    });
  // Last: what was noted is known from it.
  await database.transaction((tx) =>
    tx.deleteFrom('access_batches').where('stream', '=', stream).where('seq', '=', seq).execute(),
  );
}

/** Some notes at a time, so that others can write in between. What is lost with the machine is noted again: the cursor is lost with it. */
async function note(database: Database, notes: readonly NoteOfPiece[]): Promise<void> {
  const sorted = notes.toSorted(byTerm);
  for (let start = 0; start < sorted.length; start += notesAtOnce) {
    const some = sorted.slice(start, start + notesAtOnce);
    await database.transaction((tx) => writeNotes(database.kind, tx, some), { mayBeLost: true });
  }
}

function notesOfPiece({ tenantUid }: Pick<AuditIndexParts, 'tenantUid'>, piece: Piece, samples: readonly Sample[]) {
  return notesOf(tenantUid, samples).map((each): NoteOfPiece => ({ ...each, piece }));
}

function sampleOf(record: AuditRecord): Sample {
  return { subject: record, firstAtMicros: record.atMicros, lastAtMicros: record.atMicros };
}

async function withSampleNames(
  kind: Database['kind'],
  queries: Queries,
  samples: readonly Sample[],
): Promise<Sample[]> {
  const named = await withNames(
    kind,
    queries,
    samples.map(({ subject }) => subject),
  );
  return samples.map((sample, at) => ({ ...sample, subject: named[at] ?? sample.subject }));
}

/** One sample for each kind of access, registry, repository, identity and hour: a batch has many lines of each. */
function samplesOfBatch(bytes: Uint8Array): Sample[] {
  const samples = new Map<string, { subject: Subject; firstAtMicros: number; lastAtMicros: number }>();
  for (const line of linesOfBatch(bytes)) {
    if (line === '') continue;
    const { atMicros, ...subject } = subjectOfAccess(line);
    const { operationName, registryUid, repository, identity } = subject;
    const key = JSON.stringify([hourOf(atMicros), operationName, registryUid, repository, identity]);
    const same = samples.get(key);
    if (same === undefined) samples.set(key, { subject, firstAtMicros: atMicros, lastAtMicros: atMicros });
    else {
      same.firstAtMicros = Math.min(same.firstAtMicros, atMicros);
      same.lastAtMicros = Math.max(same.lastAtMicros, atMicros);
    }
  }
  return [...samples.values()];
}
