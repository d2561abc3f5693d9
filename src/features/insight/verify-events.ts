import type { Database } from '../../platform/database/database.ts';
import { chainStart, type EventRow, eventOf, hashOf } from '../../platform/journal/event-bytes.ts';
import type { Cursor } from '../../platform/journal/journal.ts';

/** Events that were read, all in order, or the first that is not: its sequence number and what is wrong with it. */
export type EventsVerdict =
  | { readonly kind: 'whole'; readonly count: number }
  | { readonly kind: 'broken'; readonly at: number; readonly reason: string };

const pageSize = 500;

/**
 * Reads a stream of the journal and checks each event against its hash, the one before it, its columns and, where one was
 * signed, its checkpoint (`signed`: hashes by sequence number). Whatever was written into the rows, it answers.
 */
export async function verifyEvents(
  database: Database,
  stream: Pick<Cursor, 'stream' | 'incarnation'>,
  signed: ReadonlyMap<number, string>,
): Promise<EventsVerdict> {
  let [seq, hash] = [0, chainStart];
  // Where the history that fits its checkpoints ends.
  let fitting = 0;
  while (true) {
    const page = await rowsAfter(database, { ...stream, seq });
    for (const row of page) {
      const reason = faultOf(row, { ...stream, seq: seq + 1 }, hash);
      if (reason !== undefined) return { kind: 'broken', at: seq + 1, reason };
      seq += 1;
      hash = row.hash;
      const expected = signed.get(seq);
      if (expected !== undefined && expected !== hash) {
        const range = `${fitting + 1} to ${seq}`;
        return { kind: 'broken', at: fitting + 1, reason: `the history from ${range} is not the one that was signed` };
      }
      if (expected !== undefined) fitting = seq;
    }
    if (page.length < pageSize) return await endOf(database, { ...stream, seq }, hash, highest(signed.keys()));
  }
}

/** Of as many as there may be: more than a call takes arguments. */
export function highest(seqs: Iterable<number>): number {
  let last = 0;
  for (const seq of seqs) last = Math.max(last, seq);
  return last;
}

async function rowsAfter(database: Database, cursor: Cursor): Promise<EventRow[]> {
  return await database.read
    .selectFrom('journal_events')
    .selectAll()
    .where('stream', '=', cursor.stream)
    .where('incarnation', '=', cursor.incarnation)
    .where('seq', '>', cursor.seq)
    .orderBy('seq')
    .limit(pageSize)
    .execute();
}

function faultOf(row: EventRow, expected: Cursor, previous: string): string | undefined {
  if (row.seq !== expected.seq) return 'an event is missing';
  if (hashOf(row.bytes) !== row.hash) return 'the bytes of the event are not those that were hashed';
  const event = eventIn(row);
  if (event === undefined) return 'the row was inserted: its bytes are no event';
  if (event.previous !== previous) return 'the event does not follow the one before it';
  const isItself =
    event.stream === expected.stream &&
    event.incarnation === expected.incarnation &&
    event.seq === row.seq &&
    event.type === row.type &&
    event.occurredAtMicros === row.occurred_at;
  return isItself ? undefined : 'the columns of the row do not agree with the event';
}

function eventIn(row: EventRow): ReturnType<typeof eventOf> | undefined {
  try {
    return eventOf(row);
  } catch {
    // Whoever wrote it did not know what an event is.
    return undefined;
  }
}

/** The head, unless the stream has gone on in another incarnation, and the last checkpoint tell how many there were. */
async function endOf(database: Database, last: Cursor, hash: string, lastSigned: number): Promise<EventsVerdict> {
  const head = await database.read
    .selectFrom('journal_heads')
    .select(['seq', 'hash'])
    .where('stream', '=', last.stream)
    .where('incarnation', '=', last.incarnation)
    .executeTakeFirst();
  if (lastSigned > last.seq)
    return { kind: 'broken', at: last.seq + 1, reason: `events up to ${lastSigned} were signed and are missing` };
  if (head === undefined) return { kind: 'whole', count: last.seq };
  if (head.seq < last.seq)
    return { kind: 'broken', at: head.seq + 1, reason: 'the event was inserted: the head is before it' };
  // A stream that is being written to may have gone on since.
  if (head.seq > last.seq && (await rowsAfter(database, last)).length === 0)
    return { kind: 'broken', at: last.seq + 1, reason: 'an event is missing' };
  if (head.seq === last.seq && head.hash !== hash)
    return { kind: 'broken', at: last.seq, reason: 'the head carries another hash' };
  return { kind: 'whole', count: last.seq };
}
