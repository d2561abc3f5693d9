import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Database } from '../../platform/database/database.ts';
import { chainStart } from '../../platform/journal/event-bytes.ts';
import { listAccepted } from './anchor-notes.ts';
import { listSegments, type SegmentRow, type SegmentsEnd, segmentEnds } from './audit-archive.ts';
import { accessHeads, type CheckpointParts } from './audit-checkpoints.ts';
import { faultOfSegment, type SegmentFault } from './audit-segment.ts';
import type { Statement } from './audit-statement.ts';
import { type CheckpointVerdict, verifyCheckpoints } from './checkpoint-verification.ts';
import { isRemovalOf } from './forgotten-segment.ts';
import { findStrayAnchors, type StrayAnchors } from './stray-anchors.ts';
import { highest, verifyEvents } from './verify-events.ts';

/** What was found of one stream, or of the checkpoints. */
export type Finding = {
  readonly kind: 'whole' | 'broken';
  readonly source: 'checkpoints' | 'journal' | 'access';
  readonly stream: string;
  readonly incarnation: string;
  /** Events, batches or checkpoints that were read; for a broken one up to the fault. */
  readonly count: number;
  /** Batches that retention removed for good, signed: these cannot be read. */
  readonly removed: number;
  /** Sequence number of the first that is changed, missing or inserted. */
  readonly at: number | undefined;
  /** Of one that is whole: what is to be known all the same. */
  readonly reason: string | undefined;
};

type Stream = { readonly stream: string; readonly incarnation: string };

const pageSize = 100;

type VerifyParts = Pick<CheckpointParts, 'database' | 'sealer' | 'notes'> & {
  readonly auditArchive?: StoreNotes | undefined;
};

/** What was signed, and how far each stream had been moved into the archive just before that was read. */
type Look = { readonly checkpoints: CheckpointVerdict; readonly ends: ReadonlyMap<string, SegmentsEnd> };

/** Reads everything that the audit rests on and checks it: checkpoints, then stream by stream. Runs beside a working server. */
export async function* verifyAudit(parts: VerifyParts): AsyncGenerator<Finding, void, undefined> {
  const { database } = parts;
  const look = await lookNow(parts);
  const { checkpoints } = look;
  const common = { source: 'checkpoints', stream: '', incarnation: '', removed: 0 } as const;
  if (checkpoints.kind === 'broken') {
    const { number, reason } = checkpoints;
    yield { ...common, kind: 'broken', count: number - 1, at: number, reason };
  } else {
    const reason = await acceptedIn(parts);
    yield { ...common, kind: 'whole', count: checkpoints.count, at: undefined, reason };
  }
  const { statements } = checkpoints;
  for (const stream of await journalStreams(database, statements))
    yield await verifyJournal(database, stream, statements);
  for (const stream of await accessStreams(database, statements)) yield await verifyAccesses(parts, stream, look);
}

/** Whoever can write to the database can make an owner too, who accepts what that did: the store remembers. */
async function acceptedIn({ notes }: VerifyParts): Promise<string | undefined> {
  const accepted = await listAccepted(notes);
  const [first, last] = [accepted[0], accepted.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  return `an owner accepted that some from ${first.number} to ${last.number} are gone`;
}

async function lookNow(parts: VerifyParts): Promise<Look> {
  const ends = await segmentEnds(parts.database.read);
  const chain = await verifyCheckpoints(parts);
  const strays = await findStrayAnchors(parts);
  return { ends, checkpoints: strays === undefined ? chain : withStrays(chain, strays) };
}

/** What the store was told counts for more than what the database has: that may have been written anew, and signed since. */
function withStrays(
  chain: CheckpointVerdict,
  { first, last, firstAtMicros, ...strays }: StrayAnchors,
): CheckpointVerdict {
  const statements = [...chain.statements, ...strays.statements];
  if (chain.kind === 'broken' && chain.number <= first) return { ...chain, statements };
  const since = firstAtMicros === undefined ? '' : `, signed at ${new Date(firstAtMicros / 1_000).toISOString()},`;
  const reason =
    `the checkpoint${since} is gone or another, and so are those behind it: the blob store was told of them up to ${last}. ` +
    'If an older backup was restored, `berth audit accept` says so; else somebody cut them off';
  return { kind: 'broken', number: first, reason, statements };
}

/** Also those that only a checkpoint knows of. */
async function journalStreams(database: Database, statements: readonly Statement[]): Promise<Stream[]> {
  const rows = await database.read
    .selectFrom('journal_events')
    .select(['stream', 'incarnation'])
    .where('seq', '=', 1)
    .execute();
  const heads = await database.read.selectFrom('journal_heads').select(['stream', 'incarnation']).execute();
  return distinct([...rows, ...heads, ...statements.filter(({ source }) => source === 'journal')]);
}

async function accessStreams(database: Database, statements: readonly Statement[]): Promise<Stream[]> {
  // In this order: what moves into the archive in between is then in one of them.
  const heads = await accessHeads(database.read);
  const ends = await segmentEnds(database.read);
  return distinct([
    ...heads,
    ...[...ends.keys()].map((stream) => ({ stream, incarnation: '' })),
    ...statements.filter(({ source }) => source === 'access'),
  ]);
}

function distinct(streams: readonly Stream[]): Stream[] {
  const byKey = new Map(
    streams.map(({ stream, incarnation }) => [`${stream} ${incarnation}`, { stream, incarnation }]),
  );
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, stream]) => stream);
}

async function verifyJournal(database: Database, at: Stream, statements: readonly Statement[]): Promise<Finding> {
  const ofStream = statements.filter(
    (each) => each.source === 'journal' && each.stream === at.stream && each.incarnation === at.incarnation,
  );
  const verdict = await verifyEvents(database, at, hashesOf(ofStream));
  const common = { source: 'journal', ...at, removed: 0 } as const;
  if (verdict.kind === 'whole') return { ...common, ...verdict, at: undefined, reason: undefined };
  return { ...common, ...verdict, count: verdict.at - 1 };
}

function hashesOf(statements: readonly Statement[]): ReadonlyMap<number, string> {
  return new Map(statements.map(({ seq, hash }) => [seq, hash]));
}

type Signed = {
  /** By sequence number: what was signed when it was written, which what was signed at its removal does not change. */
  readonly hashes: ReadonlyMap<number, string>;
  /** What left the database, by its last batch; undefined where the checkpoints are broken, and nothing can be said of it. */
  readonly segments: ReadonlyMap<number, Statement> | undefined;
};

/** What moved into the archive after the first look was in neither place, or nobody knew that it was signed: it is looked at again. */
async function verifyAccesses(parts: VerifyParts, at: Stream, look: Look): Promise<Finding> {
  const finding = await verifyStream(parts, at, signedOf(look, at));
  if (finding.kind === 'whole') return finding;
  const ends = await segmentEnds(parts.database.read);
  if (isDeepStrictEqual(ends.get(at.stream), look.ends.get(at.stream))) return finding;
  const again = await lookNow(parts);
  return again.checkpoints.kind === 'broken' ? finding : await verifyAccesses(parts, at, again);
}

function signedOf(look: Look, { stream }: Stream): Signed {
  const statements = look.checkpoints.statements.filter((each) => each.source === 'access' && each.stream === stream);
  const removals = statements.filter(({ segment }) => segment !== undefined);
  return {
    hashes: hashesOf(statements.filter(({ segment }) => segment === undefined)),
    segments: look.checkpoints.kind === 'broken' ? undefined : new Map(removals.map((each) => [each.seq, each])),
  };
}

async function verifyStream(parts: VerifyParts, at: Stream, signed: Signed): Promise<Finding> {
  const { read } = parts.database;
  const archived = await verifySegments(parts, at, signed);
  const { removed } = archived;
  const common = { source: 'access', ...at, removed } as const;
  const broken = (seq: number, reason: string): Finding => ({
    ...common,
    kind: 'broken',
    count: seq - 1 - removed,
    at: seq,
    reason,
  });
  if (archived.fault !== undefined) return broken(archived.fault.at, archived.fault.reason);
  let { previous } = archived;
  // Where the batches that fit what was signed end.
  let fitting = archived.seq;
  for (let { seq } = archived; ; ) {
    const page = await read
      .selectFrom('access_batches')
      .select(['seq', 'hash', 'bytes'])
      .where('stream', '=', at.stream)
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(pageSize)
      .execute();
    for (const row of page) {
      seq += 1;
      if (row.seq !== seq) return broken(seq, 'a batch is missing');
      if (createHash('sha256').update(previous).update(row.bytes).digest('hex') !== row.hash)
        return broken(
          seq,
          'the bytes of the batch are not those that were hashed, or it does not follow the one before it',
        );
      const expected = signed.hashes.get(seq);
      if (expected !== undefined && expected !== row.hash)
        return broken(fitting + 1, `the batches from ${fitting + 1} to ${seq} are not those that were signed`);
      if (expected !== undefined) fitting = seq;
      previous = row.hash;
    }
    if (page.length === pageSize) continue;
    const last = Math.max(highest(signed.hashes.keys()), highest(signed.segments?.keys() ?? []));
    if (last > seq) return broken(seq + 1, `batches up to ${last} were signed and are missing`);
    return { ...common, kind: 'whole', count: seq - removed, at: undefined, reason: undefined };
  }
}

/** Where the part of a stream ends that left the database, and the first that is wrong with it. */
type Archived = {
  readonly seq: number;
  readonly previous: string;
  readonly removed: number;
  readonly fault: SegmentFault | undefined;
};

async function verifySegments(parts: VerifyParts, { stream }: Stream, signed: Signed): Promise<Archived> {
  let [seq, previous, removed] = [0, chainStart, 0];
  for (const row of await listSegments(parts.database.read, stream)) {
    const isNext = row.first_seq === seq + 1 && row.previous_hash === previous;
    const fault = isNext
      ? await faultOfRow(parts.auditArchive, row, signed)
      : { at: seq + 1, reason: 'a segment is missing' };
    if (fault !== undefined) return { seq, previous, removed, fault };
    [seq, previous] = [row.last_seq, row.last_hash];
    if (row.name === '') removed += row.last_seq - row.first_seq + 1;
  }
  return { seq, previous, removed, fault: undefined };
}

async function faultOfRow(
  auditArchive: StoreNotes | undefined,
  row: SegmentRow,
  { hashes: signed, segments }: Signed,
): Promise<SegmentFault | undefined> {
  const { stream, name, sha256 } = row;
  const { first_seq: firstSeq, last_seq: lastSeq, previous_hash: previousHash, last_hash: lastHash } = row;
  const fault = (reason: string): SegmentFault => ({ at: firstSeq, reason });
  if ((signed.get(lastSeq) ?? lastHash) !== lastHash) return fault('the segment is not the one that was signed');
  if (segments !== undefined && !isRemovalOf(row, segments.get(lastSeq)))
    return fault(`nobody signed that batches ${firstSeq} to ${lastSeq} were removed`);
  // Removed without an archive: what is left is that it was signed, and that what follows fits.
  if (name === '') return undefined;
  if (auditArchive === undefined) return fault(`it is in the archive as ${name}: set --audit-archive`);
  const bytes = await auditArchive.get(name);
  if (bytes === undefined) return fault(`the archive has no ${name}`);
  const found = faultOfSegment(bytes, { stream, firstSeq, lastSeq, previousHash, lastHash, signed });
  if (found !== undefined) return found;
  const isSame = createHash('sha256').update(bytes).digest('hex') === sha256;
  return isSame ? undefined : fault('the segment in the archive is not the one that was written');
}
