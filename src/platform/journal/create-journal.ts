import type { Clock } from '../clock.ts';
import type { Database, Transaction } from '../database/database.ts';
import type { Ids } from '../ids.ts';
import { createAppendEvents } from './append-events.ts';
import { eventOf } from './event-bytes.ts';
import type { Append, Cursor, Explain, Journal, JournalEvent, NewEvent } from './journal.ts';
import type { JournalWakes } from './journal-wakes.ts';

const maxEvents = 500;

export type JournalOptions = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Tells other processes and hears from them; without it they notice only when their consumers look by themselves. */
  readonly wakes?: JournalWakes;
};

/** The journal in the metadata database. */
export function createJournal({ database, clock, ids, wakes }: JournalOptions): Journal {
  const { append: appendEvents, isHeadGone } = createAppendEvents({ kind: database.kind, clock, ids });
  const listeners = new Set<(streams: readonly string[]) => void>();
  const wake = (streams: readonly string[]) => {
    for (const listener of listeners) listener(streams);
  };
  wakes?.onWake(wake);
  return {
    transaction: async (work) => {
      let streams: string[] = [];
      let meanings: ((error: unknown) => unknown)[] = [];
      const oneRun = async (tx: Transaction) => {
        const events: NewEvent[] = [];
        meanings = [];
        const append: Append = (event) => void events.push(event);
        const explain: Explain = (meaning) => void meanings.push(meaning);
        const result = await work(tx, append, explain);
        if (events.length > maxEvents)
          throw new Error(`${events.length} events in one transaction; bulk work commits in slices of ${maxEvents}`);
        await appendEvents(tx, events);
        streams = [...new Set(events.map((event) => event.stream))];
        return result;
      };
      const run = async () => await database.transaction(oneRun);
      const value = await run()
        .catch((error: unknown) => {
          if (isHeadGone(error)) return run();
          throw error;
        })
        .catch((error: unknown) => {
          throw meanings.reduce((fault, meaning) => meaning(fault), error);
        });
      if (streams.length > 0) {
        wake(streams);
        wakes?.send(streams);
      }
      return value;
    },
    after: (cursor, limit) => eventsAfter(database, cursor, limit),
    start: async (stream) => ({ ...(await headOf(database, stream)), seq: 0 }),
    head: (stream) => headOf(database, stream),
    onAppend: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Where a stream stands; one that nothing was appended to yet has no incarnation. */
async function headOf(database: Database, stream: string): Promise<Cursor> {
  const head = await database.read
    .selectFrom('journal_heads')
    .select(['stream', 'incarnation', 'seq'])
    .where('stream', '=', stream)
    .executeTakeFirst();
  return head ?? { stream, incarnation: '', seq: 0 };
}

async function eventsAfter(database: Database, cursor: Cursor, limit: number): Promise<JournalEvent[]> {
  const rows = await database.read
    .selectFrom('journal_events')
    .select(['hash', 'bytes'])
    .where('stream', '=', cursor.stream)
    .where('incarnation', '=', cursor.incarnation)
    .where('seq', '>', cursor.seq)
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map((row) => {
    const { previous: _, ...event } = eventOf(row);
    return event;
  });
}
