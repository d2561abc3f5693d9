import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely';
import { sqliteFault } from './sqlite-fault.ts';

export type SqliteConnectionOptions = {
  readonly file: string;
  readonly isReadOnly: boolean;
  /** SQLite blocks the event loop up to this long for a lock of another process. */
  readonly busyTimeoutMs: number;
  readonly cacheKibibytes: number;
};

/** Statements stay prepared; the one used longest ago goes first. */
const maxStatements = 500;
/** A WAL that a burst made larger is cut back to this. */
const walKeptBytes = 64 * 1024 * 1024;

/** Values of `synchronous`: each commit is synced, or only what a checkpoint moves. */
const full = 2;
const normal = 1;

type Prepared = { readonly statement: StatementSync; readonly isReader: boolean };

/** One connection to a SQLite file: every query is done, synchronously, when the returned promise exists. */
export class SqliteConnection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, Prepared>();

  /** Throws when the file cannot be opened or does not take the settings that durability needs. */
  constructor(options: SqliteConnectionOptions) {
    this.#db = new DatabaseSync(options.file, {
      timeout: options.busyTimeoutMs,
      enableForeignKeyConstraints: true,
      enableDoubleQuotedStringLiterals: false,
    });
    // SQLite forgets all of these but the journal mode when a connection closes.
    this.#require('journal_mode', 'wal');
    this.#require('synchronous', full);
    this.#require('foreign_keys', 1);
    this.#require('query_only', options.isReadOnly ? 1 : 0);
    // `SqliteCheckpoints` does it, on another thread.
    this.#require('wal_autocheckpoint', 0);
    this.#require('journal_size_limit', walKeptBytes);
    this.#require('cache_size', -options.cacheKibibytes);
  }

  get isTransaction(): boolean {
    return this.#db.isTransaction;
  }

  /** Commits from now on do not wait for the disk: whoever commits syncs the WAL before telling anybody (`SqliteCommits`). */
  leaveSyncToCaller(): void {
    this.#require('synchronous', normal);
  }

  /** Ends the wait for locks of other processes: from now on a lock fails at once with SQLITE_BUSY. */
  neverBlock(): void {
    this.#require('busy_timeout', 0);
  }

  /** Runs a statement that has neither parameters nor rows. Throws what SQLite throws. */
  run(sql: string): void {
    this.#prepared(sql).statement.run();
  }

  /** Until `releaseSnapshot`, reads see what is committed now and nothing later. Outside a transaction only. */
  holdSnapshot(): void {
    this.run('begin');
    // A transaction takes its snapshot at its first read.
    this.#prepared('select 1 from sqlite_schema limit 1').statement.get();
  }

  releaseSnapshot(): void {
    if (this.isTransaction) this.run('commit');
  }

  /** Rows that this connection has written since it was opened, those of undone transactions among them. */
  writtenRows(): number {
    const { rows } = this.#prepared('select total_changes() as rows').statement.get() ?? {};
    return Number(rows);
  }

  /** Pages of 4 KiB in the WAL that are not in the database file yet. */
  unmovedPages(): number {
    const { log, checkpointed } = this.#prepared('pragma wal_checkpoint(noop)').statement.get() ?? {};
    return Number(log) - Number(checkpointed);
  }

  /** Moves the whole WAL into the database file and cuts it to nothing; false when somebody else is reading it. */
  emptyWal(): boolean {
    const { busy } = this.#db.prepare('pragma wal_checkpoint(truncate)').get() ?? {};
    return busy === 0;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      const { statement, isReader } = this.#prepared(query.sql);
      const parameters = inputs(query.parameters);
      if (isReader) return { rows: rowsOf<R>(statement.all(...parameters)) };
      return { rows: [], numAffectedRows: BigInt(statement.run(...parameters).changes) };
    } catch (error) {
      throw sqliteFault(error);
    }
  }

  /** Not offered: an open cursor would pin the snapshot that later reads of this connection see. Read in pages. */
  // biome-ignore lint/correctness/useYield: the contract asks for a generator.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streaming a query is not supported; read in pages');
  }

  close(): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  #prepared(sql: string): Prepared {
    const known = this.#statements.get(sql);
    if (known !== undefined) {
      this.#statements.delete(sql);
      this.#statements.set(sql, known);
      return known;
    }
    const statement = this.#db.prepare(sql);
    const prepared = { statement, isReader: statement.columns().length > 0 };
    this.#statements.set(sql, prepared);
    const [oldest] = this.#statements.keys();
    if (this.#statements.size > maxStatements && oldest !== undefined) this.#statements.delete(oldest);
    return prepared;
  }

  #require(pragma: string, value: string | number): void {
    this.#db.prepare(`pragma ${pragma} = ${value}`).all();
    const answer = this.#db.prepare(`pragma ${pragma}`).get();
    const actual = Object.values(answer ?? {})[0];
    if (actual !== value) throw new Error(`SQLite answers ${pragma} = ${actual} where ${value} is needed`);
  }
}

/** Cast: Kysely knows parameters as unknown; SQLite itself refuses what it cannot bind. */
function inputs(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters as SQLInputValue[];
}

/** Cast: Kysely derives the row type from the query. Rows get the usual prototype, as PostgreSQL's have. */
function rowsOf<R>(rows: readonly object[]): R[] {
  return rows.map((row) => ({ ...row })) as R[];
}
