import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { Bell } from '../jobs/bell.ts';
import type { Log } from '../log.ts';
import { restUntil } from '../rest-until.ts';
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
/** Events of a busy time are gathered so long: each look costs several queries and a commit, for one event as for many. */
const gatherMs = 200;
/** Looks at all streams this often although nobody woke it: another process may have appended. */
const scanEveryMs = 5_000;
/** More streams than this are not looked at by name. */
const mostNamed = 1_000;
const firstRetryMs = 1_000;
const longestRetryMs = 60_000;

/**
 * Brings a consumer every event, in order, at least once, and remembers in the database how far it came: killed anywhere, it
 * goes on from there. A stream whose events it cannot handle waits while the others go on. Runs until the signal is aborted.
 * Two processes that run the same consumer both get events; their cursor never goes back.
 */
export async function runConsumer(options: ConsumerOptions): Promise<void> {
  const { clock, follows, journal, log, name, signal } = options;
  const bell = new Bell(clock, signal);
  const agenda = new Agenda(clock);
  const unsubscribe = journal.onAppend((streams) => {
    if (streams.length === 0) agenda.addAll();
    else agenda.add(streams.filter(follows));
    bell.ring();
  });
  try {
    while (!signal.aborted) {
      const beganMs = clock.monotonicMs();
      const waitMs = await pass(options, agenda).then(
        (hasMore) => (hasMore ? undefined : agenda.idleMs()),
        (error: unknown) => {
          log.warn('journal consumer failed', { consumer: name, error });
          return firstRetryMs;
        },
      );
      if (waitMs === undefined) continue;
      await bell.wait(waitMs);
      await restUntil(clock, beganMs + gatherMs, signal);
    }
  } finally {
    unsubscribe();
  }
}

/** Which streams to look at next: those that were told of, those that may have more, and now and then all. */
class Agenda {
  readonly #clock: Clock;
  readonly #named = new Set<string>();
  readonly #retryAtMs = new Map<string, number>();
  readonly #retryDelayMs = new Map<string, number>();
  #scanAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(streams: readonly string[]): void {
    for (const stream of streams) this.#named.add(stream);
  }

  addAll(): void {
    this.#scanAtMs = 0;
  }

  /** Takes what is due off the agenda. */
  take(): readonly string[] | 'all' {
    const nowMs = this.#clock.monotonicMs();
    for (const [stream, atMs] of this.#retryAtMs)
      if (atMs <= nowMs) {
        this.#retryAtMs.delete(stream);
        this.#named.add(stream);
      }
    const streams = [...this.#named];
    this.#named.clear();
    if (this.#scanAtMs > nowMs && streams.length <= mostNamed) return streams;
    this.#scanAtMs = nowMs + scanEveryMs;
    return 'all';
  }

  /** How long nothing is due, unless something is added. */
  idleMs(): number {
    if (this.#named.size > 0) return 0;
    return Math.max(0, Math.min(this.#scanAtMs, ...this.#retryAtMs.values()) - this.#clock.monotonicMs());
  }

  /** Events of this stream were handled; whoever appends more rings the bell. */
  handled(stream: string, hasMore: boolean): void {
    this.#retryDelayMs.delete(stream);
    if (hasMore) this.#named.add(stream);
  }

  failed(stream: string): void {
    const delayMs = Math.min((this.#retryDelayMs.get(stream) ?? firstRetryMs / 2) * 2, longestRetryMs);
    this.#retryDelayMs.set(stream, delayMs);
    this.#retryAtMs.set(stream, this.#clock.monotonicMs() + delayMs);
  }

  /** It failed, and is on the agenda again later. */
  isPutOff(stream: string): boolean {
    return this.#retryAtMs.has(stream);
  }
}

/** Brings each stream on the agenda that is behind one batch; whether one of them has more. */
async function pass(options: ConsumerOptions, agenda: Agenda): Promise<boolean> {
  const streams = agenda.take();
  let mayHaveMore = false;
  for (const cursor of await cursorsOnAgenda(options, agenda, streams)) {
    if (options.signal.aborted) break;
    const { stream } = cursor;
    if (agenda.isPutOff(stream)) continue;
    try {
      const hasMore = await deliver(options, cursor);
      agenda.handled(stream, hasMore);
      mayHaveMore ||= hasMore;
    } catch (error) {
      options.log.warn('journal consumer failed', { consumer: options.name, stream, error });
      agenda.failed(stream);
    }
  }
  return mayHaveMore;
}

/** What cannot be looked at stays on the agenda. */
async function cursorsOnAgenda(
  options: ConsumerOptions,
  agenda: Agenda,
  streams: readonly string[] | 'all',
): Promise<readonly Cursor[]> {
  try {
    return streams.length === 0 ? [] : await cursorsBehind(options, streams);
  } catch (error) {
    if (streams === 'all') agenda.addAll();
    else agenda.add(streams);
    throw error;
  }
}

/** Whether there may be more at once. */
async function deliver(options: ConsumerOptions, cursor: Cursor): Promise<boolean> {
  const events = await options.journal.after(cursor, batchSize);
  const last = events.at(-1);
  if (last === undefined) return await followIncarnation(options, cursor);
  await options.handle(events);
  await moveCursor(options, cursor, last);
  return events.length === batchSize;
}

/** All of an incarnation is delivered and the stream went on in another one: its events start anew. */
async function followIncarnation(options: ConsumerOptions, cursor: Cursor): Promise<boolean> {
  const start = await options.journal.start(cursor.stream);
  if (start.incarnation === cursor.incarnation) return false;
  await moveCursor(options, cursor, start);
  return true;
}

/** Those of the streams whose head is not where the consumer stands, with where it stands. */
async function cursorsBehind(
  { database, name, follows }: ConsumerOptions,
  streams: readonly string[] | 'all',
): Promise<Cursor[]> {
  const allBehind = database.read
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
    .orderBy('head.stream');
  const rows = await (streams === 'all' ? allBehind : allBehind.where('head.stream', 'in', streams)).execute();
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
