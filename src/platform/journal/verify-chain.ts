import type { Database } from '../database/database.ts';
import { chainStart, eventOf, hashOf } from './event-bytes.ts';
import type { Cursor } from './journal.ts';

export type ChainVerdict =
  | { readonly kind: 'whole'; readonly events: number }
  /** `at` is the first sequence number that is missing or was changed. */
  | { readonly kind: 'broken'; readonly at: number; readonly reason: string };

const pageSize = 500;

/** Reads a whole stream and checks that no event was changed, left out or added since it was written. */
export async function verifyChain(
  database: Database,
  cursor: Pick<Cursor, 'stream' | 'incarnation'>,
): Promise<ChainVerdict> {
  let hash = chainStart;
  let seq = 0;
  while (true) {
    const page = await rowsAfter(database, { ...cursor, seq });
    for (const row of page) {
      const reason = faultOf(row, { ...cursor, seq: seq + 1 }, hash);
      if (reason !== undefined) return { kind: 'broken', at: seq + 1, reason };
      seq += 1;
      hash = row.hash;
    }
    if (page.length < pageSize) return await endsAtHead(database, { ...cursor, seq }, hash);
  }
}

type Row = {
  readonly seq: number;
  readonly type: string;
  readonly occurred_at: number;
  readonly hash: string;
  readonly bytes: Uint8Array;
};

function rowsAfter(database: Database, cursor: Cursor): Promise<Row[]> {
  return database.read
    .selectFrom('journal_events')
    .select(['seq', 'type', 'occurred_at', 'hash', 'bytes'])
    .where('stream', '=', cursor.stream)
    .where('incarnation', '=', cursor.incarnation)
    .where('seq', '>', cursor.seq)
    .orderBy('seq')
    .limit(pageSize)
    .execute();
}

function faultOf(row: Row, expected: Cursor, previous: string): string | undefined {
  if (row.seq !== expected.seq) return 'an event is missing';
  if (hashOf(row.bytes) !== row.hash) return 'the bytes of the event are not those that were hashed';
  const event = eventOf(row);
  if (event.previous !== previous) return 'the event does not follow the one before it';
  const isItself =
    event.stream === expected.stream &&
    event.incarnation === expected.incarnation &&
    event.seq === row.seq &&
    event.type === row.type &&
    event.occurredAtMicros === row.occurred_at;
  return isItself ? undefined : 'the columns of the row do not agree with the event';
}

/** The head, if the stream has not moved on to another incarnation, tells how many events there were. */
async function endsAtHead(database: Database, last: Cursor, hash: string): Promise<ChainVerdict> {
  const head = await database.read
    .selectFrom('journal_heads')
    .select(['seq', 'hash'])
    .where('stream', '=', last.stream)
    .where('incarnation', '=', last.incarnation)
    .executeTakeFirst();
  if (head !== undefined && head.seq < last.seq)
    return { kind: 'broken', at: head.seq + 1, reason: 'the head is behind' };
  if (head !== undefined && head.seq > last.seq && (await rowsAfter(database, last)).length === 0)
    return { kind: 'broken', at: last.seq + 1, reason: 'an event is missing' };
  if (head !== undefined && head.seq === last.seq && head.hash !== hash)
    return { kind: 'broken', at: last.seq, reason: 'the head carries another hash' };
  return { kind: 'whole', events: last.seq };
}
