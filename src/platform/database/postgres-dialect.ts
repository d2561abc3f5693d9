import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely';
import type { Pool, PoolClient, QueryResultRow } from 'pg';
import type { Clock } from '../clock.ts';
import { isLostRace, isStalePlan, postgresFault } from './postgres-fault.ts';
import { fillsOn, isSentAhead } from './send-ahead.ts';

/** Kysely over a pool of pipelining clients, which whoever made it ends. Statements are prepared by name; faults are those of the catalogue. */
export class PostgresDialect implements Dialect {
  readonly #pool: Pool;
  readonly #clock: Clock;

  constructor(pool: Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  createDriver(): Driver {
    return new PostgresDriver(this.#pool, this.#clock);
  }

  createQueryCompiler(): PostgresQueryCompiler {
    return new PostgresQueryCompiler();
  }

  createAdapter(): PostgresAdapter {
    return new PostgresAdapter();
  }

  createIntrospector(db: Kysely<unknown>): PostgresIntrospector {
    return new PostgresIntrospector(db);
  }
}

class PostgresDriver implements Driver {
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #names = new StatementNames();
  /** When each connection came back, by the monotonic clock. */
  readonly #idleSinceMs = new WeakMap<PoolClient, number>();

  constructor(pool: Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<PostgresConnection> {
    try {
      const client = await this.#pool.connect();
      const idleMs = this.#clock.monotonicMs() - (this.#idleSinceMs.get(client) ?? Number.POSITIVE_INFINITY);
      return new PostgresConnection(client, { names: this.#names, mayBeGone: idleMs > longestTrustMs });
    } catch (error) {
      throw postgresFault(error);
    }
  }

  async beginTransaction(connection: PostgresConnection): Promise<void> {
    await connection.begin();
  }

  async commitTransaction(connection: PostgresConnection): Promise<void> {
    await connection.commit();
  }

  async rollbackTransaction(connection: PostgresConnection): Promise<void> {
    await connection.rollback();
  }

  async releaseConnection(connection: PostgresConnection): Promise<void> {
    this.#idleSinceMs.set(connection.release(), this.#clock.monotonicMs());
  }

  async destroy(): Promise<void> {}
}

class PostgresConnection implements DatabaseConnection {
  readonly #client: PoolClient;
  readonly #names: StatementNames;
  readonly #mayBeGone: boolean;
  #isBroken = false;
  #isTransaction = false;
  /** Why there is no transaction, where it could not be begun. */
  #beginFault: unknown;
  /** When all is answered that was sent ahead in this transaction. */
  #answered: Promise<unknown> = Promise.resolve();

  constructor(
    client: PoolClient,
    { names, mayBeGone }: { readonly names: StatementNames; readonly mayBeGone: boolean },
  ) {
    this.#client = client;
    this.#names = names;
    this.#mayBeGone = mayBeGone;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    // What is not sent yet would commit by itself.
    if (this.#beginFault !== undefined) throw this.#beginFault;
    if (this.#isTransaction)
      return isSentAhead(query) ? this.#sendAhead<R>(query) : await this.#inOrder(this.#send<R>(query));
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#send<R>(query);
      } catch (error) {
        // A statement of its own that lost a race, perhaps with a migration of all tables, was undone whole.
        if (!isLostRace(error) || tries === mostTries) throw postgresFault(error);
      }
    }
  }

  async #send<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      return await this.#query<R>(query, this.#isBroken ? undefined : this.#names.nameOf(query.sql));
    } catch (error) {
      // The next one to come gets a connection that prepares anew.
      if (isStalePlan(error)) this.#isBroken = true;
      throw error;
    }
  }

  #sendAhead<R>(query: CompiledQuery): QueryResult<R> {
    const rows: R[] = [];
    const arrival = this.#inOrder(this.#send<R>(query)).then((result) => void rows.push(...result.rows));
    this.#answered = arrival;
    arrival.catch(toldLater);
    fillsOn(arrival, rows);
    return { rows };
  }

  /** The server refuses all that follows a failed statement: the first error is the one that matters. */
  async #inOrder<T>(answer: Promise<T>): Promise<T> {
    answer.catch(toldLater);
    try {
      await this.#answered;
      return await answer;
    } catch (error) {
      throw postgresFault(error);
    }
  }

  async #query<R>({ sql, parameters }: CompiledQuery, name: string | undefined): Promise<QueryResult<R>> {
    const query = { text: sql, values: [...parameters], ...(name && { name }) };
    const { rows, rowCount } = await this.#client.query(query);
    return { rows: rowsOf<R>(rows), numAffectedRows: BigInt(rowCount ?? 0) };
  }

  /**
   * Sent ahead of the first statement. A connection that may be gone is heard first: nobody knows of a commit that was sent to it
   * whether it happened, and so the work could not run again.
   */
  async begin(): Promise<void> {
    this.#isTransaction = true;
    this.#answered = this.#client.query(begin).catch((error: unknown) => {
      this.#isBroken = true;
      this.#beginFault = postgresFault(error);
      throw error;
    });
    this.#answered.catch(toldLater);
    if (this.#mayBeGone) await this.#inOrder(this.#answered);
  }

  /** As on SQLite: read in pages. */
  // biome-ignore lint/correctness/useYield: the contract asks for a generator.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streaming a query is not supported; read in pages');
  }

  async commit(): Promise<void> {
    const { command } = await this.#inOrder(this.#client.query(commit));
    // The server answers a commit after a failed statement with a rollback, not with an error.
    if (command !== 'COMMIT') throw new Error('a statement of the transaction failed and its error was swallowed');
  }

  async rollback(): Promise<void> {
    try {
      await this.#client.query('rollback');
    } catch {
      // The error that led here matters, not this one; without its connection the server rolls back by itself.
      this.#isBroken = true;
    }
  }

  release(): PoolClient {
    this.#client.release(this.#isBroken);
    return this.#client;
  }
}

/** Prepared as all statements are, so that what is sent in one turn goes together. */
const begin = { text: 'begin isolation level read committed', name: 'begin' };
const commit = { text: 'commit', name: 'commit' };

/** A connection that was used so shortly ago is there still, as a rule: a failover, or a firewall that forgot it, goes unnoticed until it is used. */
const longestTrustMs = 1_000;

/** Each lost race took the server's `deadlock_timeout`, a second, to find. */
const mostTries = 5;

/** The error of what was sent ahead is thrown by whoever waits next. */
function toldLater(): void {}

/** Statements beyond these are parsed by the server each time, so that it does not keep them without bound. */
const maxNames = 1_000;
/** A longer text has as many parameters as a client chose: there are thousands of such, each held by every connection for ever. */
const maxNamedLength = 1_536;

/** Gives each text of a statement a name, under which each connection prepares it at its first use. */
class StatementNames {
  readonly #names = new Map<string, string>();

  nameOf(sql: string): string | undefined {
    const known = this.#names.get(sql);
    if (known !== undefined || this.#names.size >= maxNames || sql.length > maxNamedLength) return known;
    const name = `berth_${this.#names.size}`;
    this.#names.set(sql, name);
    return name;
  }
}

/** Cast: Kysely derives the row type from the query. */
function rowsOf<R>(rows: readonly QueryResultRow[]): R[] {
  return rows as R[];
}
