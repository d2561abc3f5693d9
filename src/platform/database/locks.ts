import type { SelectQueryBuilder } from 'kysely';
import type { Database } from './database.ts';

type Kind = Database['kind'];

/**
 * Locks the rows a transaction reads in order to change or delete them; others that lock them wait.
 * `of` names the tables to lock where the query joins several. SQLite has one writer at a time and needs no lock.
 */
export function lockedForUpdate<DB, TB extends keyof DB, O>(
  kind: Kind,
  query: SelectQueryBuilder<DB, TB, O>,
  ...of: (TB & string)[]
): SelectQueryBuilder<DB, TB, O> {
  return kind === 'sqlite' ? query : query.forUpdate(tables(of));
}

/** As `lockedForUpdate`, but leaves out rows that another transaction has locked instead of waiting. */
export function lockedForUpdateSkipLocked<DB, TB extends keyof DB, O>(
  kind: Kind,
  query: SelectQueryBuilder<DB, TB, O>,
  ...of: (TB & string)[]
): SelectQueryBuilder<DB, TB, O> {
  return kind === 'sqlite' ? query : query.forUpdate(tables(of)).skipLocked();
}

/** Keeps the rows a transaction relies on from being changed or deleted before it commits; others may share the lock. */
export function lockedForShare<DB, TB extends keyof DB, O>(
  kind: Kind,
  query: SelectQueryBuilder<DB, TB, O>,
  ...of: (TB & string)[]
): SelectQueryBuilder<DB, TB, O> {
  return kind === 'sqlite' ? query : query.forShare(tables(of));
}

/** Keeps the rows from being deleted or getting another key; changes of other columns may go on. */
export function lockedForKeyShare<DB, TB extends keyof DB, O>(
  kind: Kind,
  query: SelectQueryBuilder<DB, TB, O>,
  ...of: (TB & string)[]
): SelectQueryBuilder<DB, TB, O> {
  return kind === 'sqlite' ? query : query.forKeyShare(tables(of));
}

/** Without a list the lock is on every table of the query. */
function tables<T>(of: readonly T[]): readonly T[] | undefined {
  return of.length === 0 ? undefined : of;
}

/** A statement that locks rows, made for each kind of database. */
export function forEachKind<T>(make: (kind: Kind) => T): Readonly<Record<Kind, T>> {
  return { sqlite: make('sqlite'), postgres: make('postgres') };
}
