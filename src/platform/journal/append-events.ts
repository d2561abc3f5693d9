import type { Clock } from '../clock.ts';
import type { Database, Transaction } from '../database/database.ts';
import { hotRows, hotStatement } from '../database/hot-query.ts';
import { forEachKind, lockedForUpdate } from '../database/locks.ts';
import type { Ids } from '../ids.ts';
import { chainStart, type EventRow, eventRow } from './event-bytes.ts';
import type { NewEvent } from './journal.ts';

type Head = {
  readonly stream: string;
  readonly incarnation: string;
  readonly seq: number;
  readonly hash: string;
  readonly changed_at: number;
};

export type AppendTools = { readonly kind: Database['kind']; readonly clock: Clock; readonly ids: Ids };

/**
 * Writes the events of one transaction as its last statements. The heads are locked in stream order, so that two
 * transactions never wait for each other, and from then on nothing but the commit is left: sequence is commit order.
 */
export async function appendEvents(tx: Transaction, events: readonly NewEvent[], tools: AppendTools): Promise<void> {
  const byStream = [...Map.groupBy(events, (event) => event.stream)].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [stream, ofStream] of byStream) {
    const head = await lockHead(tx, stream, tools);
    const rows = chain(head, ofStream, tools.clock.nowMicros());
    await insertEvents.ahead(tx, {}, rows);
    await moveHead(tx, rows);
  }
}

/** The rows of events that follow a head. Within a stream time grows with each event, whatever the wall clock does. */
function chain(head: Head, events: readonly NewEvent[], nowMicros: number): EventRow[] {
  const rows: EventRow[] = [];
  let { seq, hash, changed_at: time } = head;
  for (const event of events) {
    seq += 1;
    time = Math.max(nowMicros, time + 1);
    const row = eventRow(event, { stream: head.stream, incarnation: head.incarnation, seq }, time, hash);
    hash = row.hash;
    rows.push(row);
  }
  return rows;
}

async function lockHead(tx: Transaction, stream: string, tools: AppendTools): Promise<Head> {
  const head = await selectHead[tools.kind](tx, { stream });
  if (head !== undefined) return head;
  const first = { stream, incarnation: tools.ids.uid(), seq: 0, hash: chainStart, changed_at: 0 };
  await tx
    .insertInto('journal_heads')
    .values(first)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const made = await selectHead[tools.kind](tx, { stream });
  if (made === undefined) throw new Error('an inserted journal head is not there');
  return made;
}

const selectHead = forEachKind((kind) =>
  hotStatement(['stream'], (on, parameter) => {
    const query = on.selectFrom('journal_heads').selectAll().where('stream', '=', parameter<string>('stream'));
    return lockedForUpdate(kind, query);
  }),
);

async function moveHead(tx: Transaction, rows: readonly EventRow[]): Promise<void> {
  const last = rows.at(-1);
  if (last === undefined) return;
  const { stream, seq, hash, occurred_at: time } = last;
  await updateHead.ahead(tx, { stream, seq, hash, time });
}

const updateHead = hotStatement(['stream', 'seq', 'hash', 'time'], (on, parameter) =>
  on
    .updateTable('journal_heads')
    .set({ seq: parameter('seq'), hash: parameter('hash'), changed_at: parameter('time') })
    .where('stream', '=', parameter<string>('stream')),
);

const insertEvents = hotRows(
  [],
  ['stream', 'incarnation', 'seq', 'type', 'occurred_at', 'hash', 'bytes'],
  (on, _parameter, events) =>
    on.insertInto('journal_events').values(
      events.map((event) => ({
        stream: event<string>('stream'),
        incarnation: event<string>('incarnation'),
        seq: event<number>('seq'),
        type: event<string>('type'),
        occurred_at: event<number>('occurred_at'),
        hash: event<string>('hash'),
        bytes: event<Uint8Array>('bytes'),
      })),
    ),
);
