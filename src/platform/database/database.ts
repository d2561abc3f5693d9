import type { Kysely, Transaction as KyselyTransaction } from 'kysely';
import type { Schema } from './schema.ts';

/** What the body of a transaction gets; it awaits nothing but queries on it. */
export type Transaction = KyselyTransaction<Schema>;
/** A query may run on the reading side or inside a transaction. */
export type Queries = Kysely<Schema>;

export type TransactionOptions = {
  /** A power loss within the next second may undo the transaction: it then waits for no disk. For logs of what was read. */
  readonly mayBeLost?: boolean;
};

/** What this process asks of the database at this moment. */
export type DatabaseUse = {
  /** Who waits: for the one writer with SQLite, for a connection with PostgreSQL. */
  readonly waiting: number;
  /** Connections to PostgreSQL, of which there are `size` at most; undefined with SQLite. */
  readonly pool: { readonly inUse: number; readonly idle: number; readonly size: number } | undefined;
};

/**
 * The metadata database: SQLite or PostgreSQL 15 and newer behind the same queries (house plan, idea 1).
 * Throws `busy` when the database cannot be had within 5 seconds, `storageFull` and `storageReadOnly` for the disk's faults.
 */
export type Database = {
  readonly kind: 'sqlite' | 'postgres';
  /** Queries outside a transaction. Sees everything committed before the query began. */
  readonly read: Queries;
  /**
   * Runs `work` in one transaction and resolves after its durable commit. `work` may run more than once (a lost race
   * with another process), so it has no effect but its queries. A throw rolls back and passes through.
   * PostgreSQL runs READ COMMITTED: whoever reads a row in order to write by it locks it (`lockedForUpdate`, `lockedForShare`).
   */
  readonly transaction: <T>(work: (tx: Transaction) => Promise<T>, options?: TransactionOptions) => Promise<T>;
  /** The database's own clock, in microseconds: what leases compare with. */
  readonly nowMicros: () => Promise<number>;
  readonly use: () => DatabaseUse;
  readonly close: () => Promise<void>;
};
