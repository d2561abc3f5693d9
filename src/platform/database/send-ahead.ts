import type { CompiledQuery } from 'kysely';
import type { Queries } from './database.ts';

/** Waits for the rows of a statement that was sent ahead. */
export type Answer<Row> = () => Promise<Row[]>;

const sentAhead = new WeakSet<CompiledQuery>();
const arrivals = new WeakMap<object, Promise<void>>();

/**
 * Sends a statement of a transaction without waiting for its answer: the next one is sent right behind it, and both cost one
 * journey to the database. Statements run in the order in which they were sent. When one fails, the next that is waited for throws
 * its error, at the latest the commit. SQLite has answered already when this resolves.
 */
export async function sendAhead<Row>(on: Queries, query: CompiledQuery): Promise<Answer<Row>> {
  sentAhead.add(query);
  const { rows } = await on.executeQuery<Row>(query);
  return async () => {
    await arrivals.get(rows);
    return rows;
  };
}

/** For drivers: whether nobody waits for the answer of this statement yet. */
export function isSentAhead(query: CompiledQuery): boolean {
  return sentAhead.has(query);
}

/** For drivers: `rows`, which were handed back empty, are filled when `arrival` resolves. */
export function fillsOn(arrival: Promise<void>, rows: readonly unknown[]): void {
  arrivals.set(rows, arrival);
}
