import { sql } from 'kysely';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Log } from '../../platform/log.ts';
import { type StoredDamage, storedDamage } from '../retention/stored-damage.ts';
import { parseDiagnosticState } from './diagnostic-state.ts';

/** How much work waits, and how the database does: the same whichever process is asked. */
export type LoadSample = {
  readonly jobs: readonly { readonly kind: string; readonly state: string; readonly count: number }[];
  /** How long the job that is due longest has been due, in seconds; 0 when none is. */
  readonly oldestDueSeconds: number;
  /** Events that consumers of the journal have not come to. */
  readonly behind: readonly { readonly consumer: string; readonly events: number }[];
  /** Webhooks whose last attempt failed, and events that webhooks have not come to. */
  readonly failingWebhooks: number;
  readonly webhooksBehind: number;
  /** Diagnostic settings whose last attempt failed. */
  readonly failingDiagnostics: number;
  /** Lines of logs that destinations refused for a day, of the settings that are there. */
  readonly droppedLines: number;
  /** Bytes that registries have in use, by their uid. */
  readonly storedBytes: ReadonlyMap<string, number>;
  /** Connections to PostgreSQL by state; none with the embedded database. */
  readonly connections: readonly { readonly state: string; readonly count: number }[];
  /** What a transaction without any work took. */
  readonly transactionSeconds: number;
} & StoredDamage;

export type LoadSampleParts = { readonly database: Database; readonly clock: Clock; readonly log: Log };

/** Asking more often gives the same sample again: whoever asks may ask as often as they like. */
const freshMs = 15_000;
/** Whoever asks is given the one before when a new one takes longer. */
const patienceMs = 2_000;

/** Reads a new sample at most every 15 seconds, from tables that have a row for a job, a stream or a registry. */
export function createLoadSampler(parts: LoadSampleParts): () => Promise<LoadSample | undefined> {
  const { clock, log } = parts;
  let last: LoadSample | undefined;
  let readMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  const read = async () => {
    try {
      last = await readSample(parts);
    } catch (error) {
      last = undefined;
      log.warn('load not measured', { error });
    }
    reading = undefined;
  };
  return async () => {
    if (reading === undefined && clock.monotonicMs() - readMs >= freshMs) {
      readMs = clock.monotonicMs();
      reading = read();
    }
    if (reading !== undefined) await atMost(clock, patienceMs, reading);
    return last;
  };
}

async function atMost(clock: Clock, ms: number, work: Promise<void>): Promise<void> {
  const done = new AbortController();
  const late = clock.sleep(ms, done.signal).catch(() => {
    // The work was done before.
  });
  await Promise.race([work, late]);
  done.abort();
}

async function readSample({ database, clock }: LoadSampleParts): Promise<LoadSample> {
  const { read } = database;
  const nowMicros = await database.nowMicros();
  const oldest = await read
    .selectFrom('jobs')
    .select((at) => at.fn.min('run_at').as('runAt'))
    .where('state', '=', 'waiting')
    .executeTakeFirst();
  return {
    jobs: await jobsOf(database),
    oldestDueSeconds: Math.max(0, nowMicros - (oldest?.runAt ?? nowMicros)) / 1_000_000,
    behind: await consumersOf(database),
    ...(await webhooksOf(database)),
    ...(await diagnosticsOf(database)),
    storedBytes: new Map(
      (await read.selectFrom('registry_usage').select(['registry_uid', 'bytes']).execute()).map((row) => [
        row.registry_uid,
        row.bytes,
      ]),
    ),
    connections: await connectionsOf(database),
    transactionSeconds: await emptyTransaction(database, clock),
    ...(await storedDamage(read)),
  };
}

async function jobsOf({ read }: Database): Promise<LoadSample['jobs']> {
  const rows = await read
    .selectFrom('jobs')
    .select((at) => ['kind', 'state', at.fn.countAll<number | string>().as('count')])
    .groupBy(['kind', 'state'])
    .execute();
  return rows.map((row) => ({ ...row, count: Number(row.count) }));
}

/** A stream that a consumer has never been at does not count: it has its first look at all streams every few seconds. */
async function consumersOf({ read }: Database): Promise<LoadSample['behind']> {
  const rows = await read
    .selectFrom('journal_cursors as c')
    .innerJoin('journal_heads as h', (join) =>
      join.onRef('h.stream', '=', 'c.stream').onRef('h.incarnation', '=', 'c.incarnation'),
    )
    .select(['c.consumer', sql<number | string>`sum(h.seq - c.seq)`.as('events')])
    .groupBy('c.consumer')
    .execute();
  return rows.map(({ consumer, events }) => ({ consumer, events: Number(events) }));
}

async function webhooksOf({ read }: Database): Promise<Pick<LoadSample, 'failingWebhooks' | 'webhooksBehind'>> {
  const failing = await read
    .selectFrom('webhooks')
    .select((at) => at.fn.countAll<number | string>().as('count'))
    .where('is_enabled', '=', 1)
    .where('failures', '>', 0)
    .executeTakeFirstOrThrow();
  const behind = await read
    .selectFrom('webhooks as w')
    .innerJoin('webhook_cursors as c', 'c.webhook_uid', 'w.uid')
    .innerJoin('journal_heads as h', (join) =>
      join.onRef('h.stream', '=', 'c.stream').onRef('h.incarnation', '=', 'c.incarnation'),
    )
    .where('w.is_enabled', '=', 1)
    .select(sql<number | string | null>`sum(h.seq - c.seq)`.as('events'))
    .executeTakeFirstOrThrow();
  return { failingWebhooks: Number(failing.count), webhooksBehind: Number(behind.events ?? 0) };
}

async function diagnosticsOf({ read }: Database): Promise<Pick<LoadSample, 'failingDiagnostics' | 'droppedLines'>> {
  const rows = await read
    .selectFrom('diagnostic_settings')
    .select(['is_enabled', 'failures', 'last_error'])
    .where((at) => at.or([at('failures', '>', 0), at('last_error', '<>', '')]))
    .execute();
  return {
    failingDiagnostics: rows.filter((row) => row.is_enabled === 1 && row.failures > 0).length,
    droppedLines: rows.reduce((sum, row) => sum + parseDiagnosticState(row.last_error).droppedLines, 0),
  };
}

async function connectionsOf({ kind, read }: Database): Promise<LoadSample['connections']> {
  if (kind === 'sqlite') return [];
  const { rows } = await sql<{ state: string; count: number | string }>`
    select coalesce(state, 'other') as state, count(*) as count
    from pg_stat_activity where datname = current_database() group by 1`.execute(read);
  return rows.map(({ state, count }) => ({ state, count: Number(count) }));
}

async function emptyTransaction(database: Database, clock: Clock): Promise<number> {
  const beganMs = clock.monotonicMs();
  await database.transaction((tx) => sql`select 1`.execute(tx), { mayBeLost: true });
  return (clock.monotonicMs() - beganMs) / 1_000;
}
