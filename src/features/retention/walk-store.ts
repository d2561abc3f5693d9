import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';

/** How far a walk over many rows has come, as JSON; undefined before its first step. */
export async function walkPosition(queries: Queries, name: string): Promise<unknown> {
  const row = await queries.selectFrom('walks').select('position').where('name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : JSON.parse(row.position);
}

/** The same; it stays as it is until the commit. */
export async function lockedWalkPosition(tx: Transaction, kind: Database['kind'], name: string): Promise<unknown> {
  const walk = tx.selectFrom('walks').where('name', '=', name).select('position');
  const row = await lockedForUpdate(kind, walk).executeTakeFirst();
  return row === undefined ? undefined : JSON.parse(row.position);
}

export async function saveWalk(
  tx: Transaction,
  walk: { readonly name: string; readonly position: unknown; readonly nowMicros: number },
): Promise<void> {
  const values = { position: JSON.stringify(walk.position), changed_at: walk.nowMicros };
  await tx
    .insertInto('walks')
    .values({ name: walk.name, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}
