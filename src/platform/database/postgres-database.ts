import { CompiledQuery, Kysely, sql } from 'kysely';
import { type CustomTypesConfig, Pool, type PoolConfig, types as standardTypes } from 'pg';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import type { Database, Transaction, TransactionOptions } from './database.ts';
import { migrate } from './migrate.ts';
import { isUndone, PostgresDialect } from './postgres-dialect.ts';
import { isLockTimeout, isLostRace, isTransient } from './postgres-fault.ts';
import type { Schema } from './schema.ts';
import { sendAhead } from './send-ahead.ts';

export type PostgresOptions = {
  /** `postgres://user:password@host:port/database?sslmode=…`, or with `?host=<folder>` for a Unix socket. */
  readonly url: string;
  /** Connections of this process at most. */
  readonly poolSize: number;
  readonly clock: Clock;
  readonly ids: Ids;
};

/** Waiting for a connection, and running a transaction again after it lost a race or its connection. */
const maxWaitMs = 5_000;
/** The same of a migration. */
const maxMigrationWaitMs = 60_000;
const lockTimeoutMs = 5_000;
const statementTimeoutMs = 30_000;
/** Above the server's own limit of a statement, by so much. */
const answerMarginMs = 5_000;
/** Nobody waits longer for a server that vanished without a word. */
const longestAnswerMs = 60_000;
const idleTransactionTimeoutMs = 30_000;
const oldestVersion = 150_000;
/**
 * Each statement is planned once and then only run. Planned for its values, a page of names was taken for a handful of rows and all of
 * them were sorted: PostgreSQL knows nothing of how many rows pass a test of bits, such as that of locks.
 */
const planning = '-c plan_cache_mode=force_generic_plan';

/**
 * Opens the PostgreSQL database and brings its schema up to date. Transactions run READ COMMITTED; those that lose a race or
 * their connection before the commit was sent run again for up to 5 seconds. Throws when the server is older than 15, does not store
 * text as UTF-8, answers commits before they are durable, or when the schema was written by a newer program.
 */
export async function openPostgres({ url, poolSize, clock, ids }: PostgresOptions): Promise<Database> {
  await retried(() => migrateOnce(url, clock), clock, ids, maxMigrationWaitMs);
  const pool = openPool({
    connectionString: url,
    max: poolSize,
    lock_timeout: lockTimeoutMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: idleTransactionTimeoutMs,
    options: planning,
  });
  const queries = new Kysely<Schema>({ dialect: new PostgresDialect(pool, clock, answerTimeoutMs) });
  return {
    kind: 'postgres',
    read: queries,
    transaction: (work, options) => retried(() => oneTransaction(queries, work, options), clock, ids),
    nowMicros: async () => {
      const now = sql<number>`(extract(epoch from clock_timestamp()) * 1000000)::bigint`.as('now');
      return (await queries.selectNoFrom(now).executeTakeFirstOrThrow()).now;
    },
    use: () => {
      const { totalCount, idleCount: idle, waitingCount: waiting } = pool;
      return { waiting, pool: { inUse: totalCount - idle, idle, size: poolSize } };
    },
    close: async () => {
      if (!pool.ending) await pool.end();
    },
  };
}

/**
 * How long to wait for the answer to statements that were sent together. The server's limit is of each of them: one may take as long
 * as it is allowed to, while the others wait for their locks. Whoever gave up sooner would not know whether a commit among them happened.
 */
function answerTimeoutMs(statements: number): number {
  return Math.min(statementTimeoutMs + answerMarginMs + (statements - 1) * lockTimeoutMs, longestAnswerMs);
}

type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown; readonly mayRetry: boolean };

async function oneTransaction<T>(
  queries: Kysely<Schema>,
  work: (tx: Transaction) => Promise<T>,
  { mayBeLost = false }: TransactionOptions = {},
): Promise<Outcome<T>> {
  let isCommitting = false;
  try {
    const value = await queries.transaction().execute(async (tx) => {
      if (mayBeLost) await sendAhead(tx, CompiledQuery.raw('set local synchronous_commit = off'));
      const result = await work(tx);
      isCommitting = true;
      return result;
    });
    return { kind: 'done', value };
  } catch (error) {
    // A connection lost during the commit leaves open whether it happened: running the work again could do it twice.
    const isLost = error instanceof Error && isLostRace(error.cause);
    const mayRetry = isTransient(error) && (!isCommitting || isLost || isUndone(error));
    return { kind: 'failed', error, mayRetry };
  }
}

async function retried<T>(attempt: () => Promise<Outcome<T>>, clock: Clock, ids: Ids, waitMs = maxWaitMs): Promise<T> {
  const endMs = clock.monotonicMs() + waitMs;
  while (true) {
    const outcome = await attempt();
    if (outcome.kind === 'done') return outcome.value;
    if (!outcome.mayRetry || clock.monotonicMs() >= endMs) throw outcome.error;
    const [random = 0] = ids.bytes(1);
    await clock.sleep(5 + random / 4);
  }
}

/**
 * On a connection of its own, without the time-outs of normal work: a migration may take minutes. It runs again where it lost a race
 * with the servers at work, or they hold for long what it has to lock.
 */
async function migrateOnce(url: string, clock: Clock): Promise<Outcome<void>> {
  const pool = openPool({ connectionString: url, max: 1 });
  try {
    const queries = new Kysely<Schema>({ dialect: new PostgresDialect(pool, clock) });
    await refuseUnfitServer(queries);
    await migrate(queries, 'postgres');
    return { kind: 'done', value: undefined };
  } catch (error) {
    const mayRetry = error instanceof Error && (isLostRace(error.cause) || isLockTimeout(error.cause));
    return { kind: 'failed', error, mayRetry };
  } finally {
    await pool.end();
  }
}

async function refuseUnfitServer(queries: Kysely<Schema>): Promise<void> {
  const setting = (name: string) => sql<string>`current_setting(${name}::text)`;
  const server = await queries
    .selectNoFrom([
      setting('server_version_num').as('version'),
      setting('server_encoding').as('encoding'),
      setting('synchronous_commit').as('synchronousCommit'),
    ])
    .executeTakeFirstOrThrow();
  if (Number(server.version) < oldestVersion) throw new Error('the database server is older than PostgreSQL 15');
  if (server.encoding !== 'UTF8')
    throw new Error(`the database stores text as ${server.encoding}; create it with encoding UTF8`);
  if (server.synchronousCommit === 'off')
    throw new Error('synchronous_commit is off for this database: confirmed pushes could be lost; set it to on');
}

function openPool(config: PoolConfig): Pool {
  const pool = new Pool({
    ...config,
    connectionTimeoutMillis: maxWaitMs,
    keepAlive: true,
    pipeline: true,
    types: numericTypes,
  });
  // A connection that breaks is replaced by the pool; the query that used it gets the error.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

const int8 = standardTypes.builtins.INT8;
const numeric = standardTypes.builtins.NUMERIC;

/** 64-bit integers, and the exact numbers that sums of them are, come as numbers. */
const numericTypes: CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    format !== 'binary' && (oid === int8 || oid === numeric) ? exactNumber : standardTypes.getTypeParser(oid, format),
};

function exactNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    throw new RangeError(`${text} from the database is beyond the whole numbers that JavaScript keeps exactly`);
  return value;
}
