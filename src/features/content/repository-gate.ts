import { type Expression, sql } from 'kysely';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';

/** An empty `repository` is the gate of the templates: shared by who makes a repository, exclusive for who changes them. */
type At = { readonly registry: string; readonly repository: string };

/** Sent ahead: the next statement of the transaction waits for it in the database. */
export type RepositoryGate = (tx: Transaction, at: At, isExclusive: boolean) => Promise<void>;

/**
 * Until the commit, either several changes of a repository or one exclusive one. SQLite has one writer at a time. In PostgreSQL
 * it is not the row that is locked: pushes that share a row's lock keep coming and would never let a deletion in, while this
 * lock has a queue. What is read after it is as of then.
 */
export function createRepositoryGate(database: Database): RepositoryGate {
  if (database.kind === 'sqlite') return async () => {};
  const gate = (lock: 'pg_advisory_xact_lock' | 'pg_advisory_xact_lock_shared') =>
    hotQuery(database.read, ['registry', 'repository'], (queries, parameter) => {
      const key = gateKey(sql`cast(${parameter('registry')} as text)`, sql`cast(${parameter('repository')} as text)`);
      return queries.selectNoFrom(sql`${sql.raw(lock)}(${key})`.as('gate'));
    });
  const [share, lock] = [gate('pg_advisory_xact_lock_shared'), gate('pg_advisory_xact_lock')];
  return async (tx, at, isExclusive) => {
    await (isExclusive ? lock : share).ahead(tx, at);
  };
}

/** What PostgreSQL's locks go by. */
export function gateKey(registry: Expression<unknown>, repository: Expression<unknown>): Expression<unknown> {
  return sql`hashtextextended(${registry} || '/' || ${repository}, 0)`;
}
