import { createHash } from 'node:crypto';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Database } from '../../platform/database/database.ts';
import { chainStart } from '../../platform/journal/event-bytes.ts';
import { listSegments } from './audit-archive.ts';
import { accessHeads, type CheckpointParts, type Statement, verifyCheckpoints } from './audit-checkpoints.ts';
import { faultOfSegment, type SegmentFault } from './audit-segment.ts';
import { verifyEvents } from './verify-events.ts';

/** What was found of one stream, or of the checkpoints. */
export type Finding = {
  readonly kind: 'whole' | 'broken';
  readonly source: 'checkpoints' | 'journal' | 'access';
  readonly stream: string;
  readonly incarnation: string;
  /** Events, batches or checkpoints that were read; for a broken one up to the fault. */
  readonly count: number;
  /** Sequence number of the first that is changed, missing or inserted. */
  readonly at: number | undefined;
  readonly reason: string | undefined;
};

type Stream = { readonly stream: string; readonly incarnation: string };

const pageSize = 100;

/** Reads everything that the audit rests on and checks it: checkpoints, then stream by stream. Runs beside a working server. */
export async function* verifyAudit(
  parts: Pick<CheckpointParts, 'database' | 'sealer'> & { readonly auditArchive?: StoreNotes | undefined },
): AsyncGenerator<Finding, void, undefined> {
  const { database } = parts;
  const checkpoints = await verifyCheckpoints(parts);
  const common = { source: 'checkpoints', stream: '', incarnation: '' } as const;
  if (checkpoints.kind === 'broken') {
    const { number, reason } = checkpoints;
    yield { ...common, kind: 'broken', count: number - 1, at: number, reason };
  } else yield { ...common, kind: 'whole', count: checkpoints.count, at: undefined, reason: undefined };
  const statements = checkpoints.kind === 'whole' ? checkpoints.statements : [];
  const of = (source: string, { stream, incarnation }: Stream) =>
    statements.filter((each) => each.source === source && each.stream === stream && each.incarnation === incarnation);
  for (const stream of await journalStreams(database, statements))
    yield await verifyJournal(database, stream, of('journal', stream));
  for (const stream of await accessStreams(database, statements))
    yield await verifyAccesses(parts, stream, of('access', stream));
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
  const archived = await database.read.selectFrom('audit_segments').select('stream').distinct().execute();
  return distinct([
    ...(await accessHeads(database.read)),
    ...archived.map(({ stream }) => ({ stream, incarnation: '' })),
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
  const verdict = await verifyEvents(database, at, signedOf(statements));
  const common = { source: 'journal', ...at } as const;
  if (verdict.kind === 'whole') return { ...common, ...verdict, at: undefined, reason: undefined };
  return { ...common, ...verdict, count: verdict.at - 1 };
}

function signedOf(statements: readonly Statement[]): ReadonlyMap<number, string> {
  return new Map(statements.map(({ seq, hash }) => [seq, hash]));
}

type AccessParts = { readonly database: Database; readonly auditArchive?: StoreNotes | undefined };

async function verifyAccesses(parts: AccessParts, at: Stream, statements: readonly Statement[]): Promise<Finding> {
  const { read } = parts.database;
  const common = { source: 'access', ...at } as const;
  const broken = (seq: number, reason: string): Finding => ({
    ...common,
    kind: 'broken',
    count: seq - 1,
    at: seq,
    reason,
  });
  const signed = signedOf(statements);
  const archived = await verifySegments(parts, at, signed);
  if ('reason' in archived) return broken(archived.at, archived.reason);
  let { previous } = archived;
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
      if ((signed.get(seq) ?? row.hash) !== row.hash) return broken(seq, 'the batch is not the one that was signed');
      previous = row.hash;
    }
    if (page.length === pageSize) continue;
    const last = Math.max(0, ...signed.keys());
    if (last > seq) return broken(seq + 1, `batches up to ${last} were signed and are missing`);
    return { ...common, kind: 'whole', count: seq, at: undefined, reason: undefined };
  }
}

/** Where the part of a stream that is in the archive ends, or the first that is wrong with it. */
async function verifySegments(
  { database, auditArchive }: AccessParts,
  { stream }: Stream,
  signed: ReadonlyMap<number, string>,
): Promise<{ readonly seq: number; readonly previous: string } | SegmentFault> {
  let [seq, previous] = [0, chainStart];
  for (const row of await listSegments(database.read, stream)) {
    const { first_seq: firstSeq, last_seq: lastSeq, previous_hash: previousHash, last_hash: lastHash } = row;
    const fault = (reason: string): SegmentFault => ({ at: firstSeq, reason });
    if (firstSeq !== seq + 1 || previousHash !== previous) return { at: seq + 1, reason: 'a segment is missing' };
    if ((signed.get(lastSeq) ?? lastHash) !== lastHash) return fault('the segment is not the one that was signed');
    // Removed without an archive: what is left is that what follows, or was signed, fits.
    if (row.name !== '') {
      if (auditArchive === undefined) return fault(`it is in the archive as ${row.name}: set --audit-archive`);
      const bytes = await auditArchive.get(row.name);
      if (bytes === undefined) return fault(`the archive has no ${row.name}`);
      const found = faultOfSegment(bytes, { stream, firstSeq, lastSeq, previousHash, lastHash, signed });
      if (found !== undefined) return found;
    }
    [seq, previous] = [lastSeq, lastHash];
  }
  return { seq, previous };
}
