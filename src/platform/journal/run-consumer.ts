import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { Bell } from '../jobs/bell.ts';
import type { Log } from '../log.ts';
import type { Cursor, Journal, JournalEvent } from './journal.ts';

export type ConsumerOptions = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Its cursors are kept under this name; never change it. */
  readonly name: string;
  /** Which streams it follows, each from its first event. */
  readonly follows: (stream: string) => boolean;
  /** Gets events of one stream, oldest first; may get the same ones again. A throw means: bring them again later. */
  readonly handle: (events: readonly JournalEvent[]) => Promise<void>;
  /** Told what `handle` or the database threw; the consumer goes on by itself. */
  readonly log: Log;
  readonly signal: AbortSignal;
};

const batchSize = 100;
/** Looks this often although nobody woke it: another process may have appended. */
const pollMs = 1_000;
const firstRetryMs = 1_000;
const longestRetryMs = 60_000;

/**
 * Brings a consumer every event, in order, at least once, and remembers in the database how far it came: killed anywhere, it
 * goes on from there. A stream whose events it cannot handle waits while the others go on. Runs until the signal is aborted.
 * Two processes that run the same consumer both get events; their cursor never goes back.
 */
export async function runConsumer(options: ConsumerOptions): Promise<void> {
  const bell = new Bell(options.clock, options.signal);
  const unsubscribe = options.journal.onAppend(() => bell.ring());
  const retries = new Map<string, Retry>();
  try {
    while (!options.signal.aborted) {
      const hasMore = await pass(options, retries).catch((error: unknown) => {
        options.log.warn('journal consumer failed', { consumer: options.name, error });
        return false;
      });
      if (!hasMore) await bell.wait(pollMs);
    }
  } finally {
    unsubscribe();
  }
}

type Retry = { readonly delayMs: number; readonly notBeforeMs: number };

/** Brings each stream that is behind one batch; tells whether any got one. */
async function pass(options: ConsumerOptions, retries: Map<string, Retry>): Promise<boolean> {
  let hasDelivered = false;
  for (const cursor of await cursorsBehind(options)) {
    if (options.signal.aborted) return false;
    const retry = retries.get(cursor.stream);
    if (retry !== undefined && options.clock.monotonicMs() < retry.notBeforeMs) continue;
    try {
      hasDelivered = (await deliver(options, cursor)) || hasDelivered;
      retries.delete(cursor.stream);
    } catch (error) {
      options.log.warn('journal consumer failed', { consumer: options.name, stream: cursor.stream, error });
      const delayMs = Math.min((retry?.delayMs ?? firstRetryMs / 2) * 2, longestRetryMs);
      retries.set(cursor.stream, { delayMs, notBeforeMs: options.clock.monotonicMs() + delayMs });
    }
  }
  return hasDelivered;
}

async function deliver(options: ConsumerOptions, cursor: Cursor): Promise<boolean> {
  const events = await options.journal.after(cursor, batchSize);
  const last = events.at(-1);
  if (last === undefined) return await followIncarnation(options, cursor);
  await options.handle(events);
  await moveCursor(options, cursor, last);
  return true;
}

/** All of an incarnation is delivered and the stream went on in another one: its events start anew. */
async function followIncarnation(options: ConsumerOptions, cursor: Cursor): Promise<boolean> {
  const start = await options.journal.start(cursor.stream);
  if (start.incarnation === cursor.incarnation) return false;
  await moveCursor(options, cursor, start);
  return true;
}

/** Streams whose head is not where the consumer stands, with where it stands. */
async function cursorsBehind({ database, name, follows }: ConsumerOptions): Promise<Cursor[]> {
  const rows = await database.read
    .selectFrom('journal_heads as head')
    .leftJoin('journal_cursors as cursor', (join) =>
      join.onRef('cursor.stream', '=', 'head.stream').on('cursor.consumer', '=', name),
    )
    .select(['head.stream', 'head.incarnation as current', 'cursor.incarnation', 'cursor.seq'])
    .where((at) =>
      at.or([
        at('cursor.seq', 'is', null),
        at('cursor.incarnation', '<>', at.ref('head.incarnation')),
        at('cursor.seq', '<', at.ref('head.seq')),
      ]),
    )
    .orderBy('head.stream')
    .execute();
  return rows
    .filter((row) => follows(row.stream))
    .map((row) => ({ stream: row.stream, incarnation: row.incarnation ?? row.current, seq: row.seq ?? 0 }));
}

/** Moves the cursor from `from` to `to`, unless another process has moved it already. */
async function moveCursor({ database, clock, name }: ConsumerOptions, from: Cursor, to: Cursor): Promise<void> {
  const { stream, incarnation, seq } = to;
  const place = { incarnation, seq, changed_at: clock.nowMicros() };
  await database.transaction((tx) =>
    tx
      .insertInto('journal_cursors')
      .values({ consumer: name, stream, ...place })
      .onConflict((conflict) =>
        conflict
          .columns(['consumer', 'stream'])
          .doUpdateSet(place)
          .where('journal_cursors.incarnation', '=', from.incarnation)
          .where('journal_cursors.seq', '=', from.seq),
      )
      .execute(),
  );
}
