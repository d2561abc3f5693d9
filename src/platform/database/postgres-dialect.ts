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
import type { Pool, PoolClient } from 'pg';
import type { Clock } from '../clock.ts';
import { isLostRace, isServerError, isStalePlan, postgresFault } from './postgres-fault.ts';
import { fillsOn, isSentAhead } from './send-ahead.ts';
import { PreparedStatements, rowsOf, type Statement, StatementBatch, type StatementResult } from './statement-batch.ts';

/** How long to wait for the answer to so many statements that were sent together. */
export type AnswerTimeoutMs = (statements: number) => number;

/** Kysely over a pool of pipelining clients, which whoever made it ends. Statements are prepared by name; faults are those of the catalogue. */
export class PostgresDialect implements Dialect {
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #answerTimeoutMs: AnswerTimeoutMs | undefined;

  /** Waits without end where nothing says how long. */
  constructor(pool: Pool, clock: Clock, answerTimeoutMs?: AnswerTimeoutMs) {
    this.#pool = pool;
    this.#clock = clock;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  createDriver(): Driver {
    return new PostgresDriver(this.#pool, this.#clock, this.#answerTimeoutMs);
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
  readonly #answerTimeoutMs: AnswerTimeoutMs | undefined;
  readonly #names = new StatementNames();
  readonly #prepared = new WeakMap<PoolClient, PreparedStatements>();
  /** When each connection came back, by the monotonic clock. */
  readonly #idleSinceMs = new WeakMap<PoolClient, number>();

  constructor(pool: Pool, clock: Clock, answerTimeoutMs: AnswerTimeoutMs | undefined) {
    this.#pool = pool;
    this.#clock = clock;
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<PostgresConnection> {
    try {
      const client = await this.#pool.connect();
      const idleMs = this.#clock.monotonicMs() - (this.#idleSinceMs.get(client) ?? Number.POSITIVE_INFINITY);
      const parts = { client, names: this.#names, prepared: this.#preparedOf(client) };
      const answerTimeoutMs = this.#answerTimeoutMs;
      return new PostgresConnection({ ...parts, answerTimeoutMs, mayBeGone: idleMs > longestTrustMs });
    } catch (error) {
      throw postgresFault(error);
    }
  }

  #preparedOf(client: PoolClient): PreparedStatements {
    const known = this.#prepared.get(client);
    if (known !== undefined) return known;
    const prepared = new PreparedStatements((type) => client.getTypeParser(type, 'text'));
    this.#prepared.set(client, prepared);
    return prepared;
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

type ConnectionParts = {
  readonly client: PoolClient;
  readonly names: StatementNames;
  readonly prepared: PreparedStatements;
  readonly answerTimeoutMs: AnswerTimeoutMs | undefined;
  readonly mayBeGone: boolean;
};

class PostgresConnection implements DatabaseConnection {
  readonly #parts: ConnectionParts;
  #isBroken = false;
  #isTransaction = false;
  /** Goes with the next statement whose answer somebody waits for. */
  #next = new Journey();
  /** Why nothing more of the transaction is sent. */
  #fault: { readonly error: unknown } | undefined;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#isTransaction) return isSentAhead(query) ? this.#sendAhead<R>(query) : await this.#query<R>(query);
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#query<R>(query);
      } catch (error) {
        // A statement of its own that lost a race, perhaps with a migration of all tables, was undone whole.
        if (!(error instanceof Error && isLostRace(error.cause)) || tries === mostTries) throw error;
      }
    }
  }

  async #query<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const result = await this.#put(this.#statement(query))();
    return { rows: typed<R>(rowsOf(result)), numAffectedRows: BigInt(result.count) };
  }

  #sendAhead<R>(query: CompiledQuery): QueryResult<R> {
    const rows: R[] = [];
    const answer = this.#put(this.#statement(query));
    let filled: Promise<void> | undefined;
    const fill = async () => {
      for (const row of typed<R>(rowsOf(await answer()))) rows.push(row);
    };
    fillsOn(rows, async () => {
      filled ??= fill();
      await filled;
    });
    return { rows };
  }

  #statement({ sql, parameters }: CompiledQuery): Statement {
    return { text: sql, values: parameters, name: this.#isBroken ? undefined : this.#parts.names.nameOf(sql) };
  }

  /** Resolves, when it is called, to the answer; what was put here before goes along. */
  #put(statement: Statement): () => Promise<StatementResult> {
    const journey = this.#next;
    const index = journey.statements.push(statement) - 1;
    return async () => {
      journey.results ??= this.#send(journey);
      const result = (await journey.results)[index];
      if (result === undefined) throw new Error('a statement was answered by nothing');
      return result;
    };
  }

  async #send(journey: Journey): Promise<readonly StatementResult[]> {
    if (this.#next === journey) this.#next = new Journey();
    // What is sent after a failure could commit by itself.
    if (this.#fault !== undefined) throw this.#fault.error;
    try {
      return await this.#run(journey.statements);
    } catch (error) {
      const fault = postgresFault(error);
      if (this.#isTransaction) this.#fault ??= { error: fault };
      throw fault;
    }
  }

  async #run(statements: readonly Statement[]): Promise<readonly StatementResult[]> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { client, prepared, answerTimeoutMs } = this.#parts;
    const options = { prepared, timeoutMs: answerTimeoutMs?.(statements.length) };
    const batch = new StatementBatch(statements, options, (error) => (error ? reject(error) : resolve()));
    try {
      client.query(batch);
      await promise;
      return batch.results;
    } catch (error) {
      const failed = statements[batch.results.length];
      // The next one to come gets a connection that prepares anew; and one that can begin.
      if (isStalePlan(error) || failed === begin) this.#isBroken = true;
      if (isServerError(error) && failed !== commit) undone.add(error);
      throw error;
    }
  }

  /**
   * Goes with the first statement. A connection that may be gone is heard first: nobody knows of a commit that was sent to it
   * whether it happened, and so the work could not run again.
   */
  async begin(): Promise<void> {
    this.#isTransaction = true;
    const begun = this.#put(begin);
    if (this.#parts.mayBeGone) await begun();
  }

  /** As on SQLite: read in pages. */
  // biome-ignore lint/correctness/useYield: the contract asks for a generator.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streaming a query is not supported; read in pages');
  }

  async commit(): Promise<void> {
    if (this.#fault !== undefined) {
      const { error: cause } = this.#fault;
      throw new Error(`a statement of the transaction failed and its error was swallowed: ${cause}`, { cause });
    }
    await this.#put(commit)();
  }

  async rollback(): Promise<void> {
    const wasBegun = this.#next.statements[0] !== begin;
    this.#fault ??= { error: new Error('the transaction was rolled back') };
    if (this.#isBroken || !wasBegun) return;
    try {
      await this.#run([rollback]);
    } catch {
      // The error that led here matters, not this one; without its connection the server rolls back by itself.
      this.#isBroken = true;
    }
  }

  release(): PoolClient {
    this.#parts.client.release(this.#isBroken);
    return this.#parts.client;
  }
}

/** Errors by which the server itself refused a statement before the commit that was sent along. */
const undone = new WeakSet<Error>();

/** Whether a transaction that failed with this fault did certainly not commit, though its commit was sent. */
export function isUndone(fault: unknown): boolean {
  return fault instanceof Error && fault.cause instanceof Error && undone.has(fault.cause);
}

/** Statements that are sent together, and their results from then on. */
class Journey {
  readonly statements: Statement[] = [];
  results: Promise<readonly StatementResult[]> | undefined;
}

const begin: Statement = { text: 'begin isolation level read committed', values: [], name: 'begin' };
const commit: Statement = { text: 'commit', values: [], name: 'commit' };
const rollback: Statement = { text: 'rollback', values: [], name: 'rollback' };

/** A connection that was used so shortly ago is there still, as a rule: a failover, or a firewall that forgot it, goes unnoticed until it is used. */
const longestTrustMs = 1_000;

/** Each lost race took the server's `deadlock_timeout`, a second, to find. */
const mostTries = 5;

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
function typed<R>(rows: readonly unknown[]): R[] {
  return rows as R[];
}
