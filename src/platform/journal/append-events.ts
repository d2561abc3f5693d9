import { sql } from 'kysely';
import type { Clock } from '../clock.ts';
import type { Database, Transaction } from '../database/database.ts';
import { hotRows, hotStatement } from '../database/hot-query.ts';
import { forEachKind, lockedForUpdate } from '../database/locks.ts';
import { MissingValue } from '../database/missing-value.ts';
import type { Ids } from '../ids.ts';
import { chainStart, type EventRow, eventFrame, eventRow } from './event-bytes.ts';
import type { NewEvent } from './journal.ts';

type Head = {
  readonly stream: string;
  readonly incarnation: string;
  readonly seq: number;
  readonly hash: string;
  readonly changed_at: number;
};

export type AppendTools = { readonly kind: Database['kind']; readonly clock: Clock; readonly ids: Ids };

export type AppendEvents = {
  /** Writes the events of one transaction as its last statements, as `sendAhead`. */
  readonly append: (tx: Transaction, events: readonly NewEvent[]) => Promise<void>;
  /**
   * Whether an error says that a head was gone which was there before, as after a failover that lost it. The transaction was undone; run
   * anew, it looks.
   */
  readonly isHeadGone: (error: unknown) => boolean;
};

type AppendToStream = (tx: Transaction, stream: string, events: readonly NewEvent[]) => Promise<void>;

/**
 * The heads are locked in stream order, so that two transactions never wait for each other, and from then on nothing but the
 * commit is left: sequence is commit order.
 */
export function createAppendEvents(tools: AppendTools): AppendEvents {
  /** Streams whose heads were there. */
  const begun = new Set<string>();
  const here = appendHere(tools);
  const toStream = tools.kind === 'sqlite' ? here : appendThere(tools, begun, here);
  return {
    append: async (tx, events) => {
      const byStream = [...Map.groupBy(events, (event) => event.stream)].sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [stream, ofStream] of byStream) await toStream(tx, stream, ofStream);
    },
    isHeadGone: (error) => {
      if (!(error instanceof MissingValue && error.column === 'journal_events.incarnation')) return false;
      begun.clear();
      return true;
    },
  };
}

function appendHere({ kind, clock, ids }: AppendTools): AppendToStream {
  return async (tx, stream, events) => {
    const head = (await lockHead[kind](tx, { stream })) ?? (await beginStream(tx, stream, { kind, ids }));
    const rows = chain(head, events, clock.nowMicros());
    await insertEvents.ahead(tx, {}, rows);
    await moveHead(tx, rows);
  };
}

/**
 * Where the server of the database chains the events, all other commits of the stream wait for it alone, and not for this process. Long
 * ones, of which it would make a temporary file, are chained `here`.
 */
function appendThere({ kind, clock, ids }: AppendTools, begun: Set<string>, here: AppendToStream): AppendToStream {
  return async (tx, stream, events) => {
    const frames = JSON.stringify(events.map((event) => [event.type, ...eventFrame(event)]));
    if (frames.length > longestFrames) return await here(tx, stream, events);
    if (begun.has(stream)) await lockHead[kind].ahead(tx, { stream });
    else if ((await lockHead[kind](tx, { stream })) === undefined) await beginStream(tx, stream, { kind, ids });
    else if (begun.size < mostBegun) begun.add(stream);
    await insertChain.ahead(tx, { stream, frames, now: clock.nowMicros() });
  };
}

/** One per registry, as a rule. */
const mostBegun = 10_000;
/** Letters. */
const longestFrames = 256 * 1024;

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

async function beginStream(tx: Transaction, stream: string, { kind, ids }: Omit<AppendTools, 'clock'>): Promise<Head> {
  const first = { stream, incarnation: ids.uid(), seq: 0, hash: chainStart, changed_at: 0 };
  await tx
    .insertInto('journal_heads')
    .values(first)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const made = await lockHead[kind](tx, { stream });
  if (made === undefined) throw new Error('an inserted journal head is not there');
  return made;
}

const lockHead = forEachKind((kind) =>
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

/**
 * What `chain`, `insertEvents` and `moveHead` do, in one statement of PostgreSQL. It must not be the one that locks the head: it sees what was
 * committed before it began. Without a head it fails: the first event has no incarnation then.
 */
const insertChain = hotStatement(['stream', 'frames', 'now'], (on, parameter) => {
  const stream = sql`cast(${parameter('stream')} as text)`;
  const statement = sql<never>`
    with recursive frames as materialized (
      select cast(${parameter('frames')} as jsonb) as value
    ), chain as (
      select 0 as at, head.incarnation, head.seq, head.changed_at as time, head.hash, '' as type, cast('' as bytea) as bytes
      from (select 1) as one left join journal_heads as head on head.stream = ${stream}
      union all
      select at + 1, incarnation, seq + 1, next.time, encode(sha256(next.bytes), 'hex'), next.type, next.bytes
      from chain cross join frames cross join lateral (
        select
          frames.value -> at ->> 0 as type,
          greatest(chain.time + 1, cast(${parameter('now')} as bigint)) as time,
          convert_to((frames.value -> at ->> 1)
            || '"incarnation":"' || incarnation
            || '","occurredAtMicros":' || greatest(chain.time + 1, cast(${parameter('now')} as bigint))
            || ',"previous":"' || hash
            || '","seq":' || seq + 1
            || (frames.value -> at ->> 2), 'UTF8') as bytes
      ) as next
      where at < jsonb_array_length(frames.value)
    ), appended as (
      insert into journal_events (stream, incarnation, seq, type, occurred_at, hash, bytes)
      select ${stream}, incarnation, seq, type, time, hash, bytes from chain where at > 0
    )
    update journal_heads set seq = last.seq, hash = last.hash, changed_at = last.time
    from (select seq, hash, time from chain order by at desc limit 1) as last
    where stream = ${stream}`;
  return { compile: () => statement.compile(on) };
});
