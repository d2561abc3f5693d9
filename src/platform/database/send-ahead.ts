import type { CompiledQuery } from 'kysely';
import type { Queries } from './database.ts';

/** Waits for the rows of a statement that was sent ahead. */
export type Answer<Row> = () => Promise<Row[]>;

const sentAhead = new WeakSet<CompiledQuery>();
const fillings = new WeakMap<object, () => Promise<void>>();

/**
 * Adds a statement to a transaction without waiting for its answer: it is sent with the next one that is waited for, and both cost one
 * journey to the database. Statements run in the order in which they were added. When one fails, the next that is waited for throws
 * its error, at the latest the commit. SQLite has answered already when this resolves.
 */
export async function sendAhead<Row>(on: Queries, query: CompiledQuery): Promise<Answer<Row>> {
  sentAhead.add(query);
  const { rows } = await on.executeQuery<Row>(query);
  return async () => {
    await fillings.get(rows)?.();
    return rows;
  };
}

/** For drivers: whether nobody waits for the answer of this statement yet. */
export function isSentAhead(query: CompiledQuery): boolean {
  return sentAhead.has(query);
}

/** For drivers: `rows`, which were handed back empty, are filled by `fill`, for whoever wants them. */
export function fillsOn(rows: readonly unknown[], fill: () => Promise<void>): void {
  fillings.set(rows, fill);
}
