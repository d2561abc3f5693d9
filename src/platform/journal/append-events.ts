import type { Clock } from '../clock.ts';
import type { Database, Transaction } from '../database/database.ts';
import { lockedForUpdate } from '../database/locks.ts';
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
    await tx.insertInto('journal_events').values(rows).execute();
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
  const select = lockedForUpdate(tools.kind, tx.selectFrom('journal_heads').selectAll().where('stream', '=', stream));
  const head = await select.executeTakeFirst();
  if (head !== undefined) return head;
  const first = { stream, incarnation: tools.ids.uid(), seq: 0, hash: chainStart, changed_at: 0 };
  await tx
    .insertInto('journal_heads')
    .values(first)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return await select.executeTakeFirstOrThrow();
}

async function moveHead(tx: Transaction, rows: readonly EventRow[]): Promise<void> {
  const last = rows.at(-1);
  if (last === undefined) return;
  await tx
    .updateTable('journal_heads')
    .set({ seq: last.seq, hash: last.hash, changed_at: last.occurred_at })
    .where('stream', '=', last.stream)
    .execute();
}
