import type { Queries, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';

/**
 * Raises the tenant's access epoch: part of every transaction that changes who may do what (house plan, idea 5).
 * Locks the tenant's row until the commit.
 */
export async function raiseAccessEpoch(tx: Transaction, tenantUid: string): Promise<void> {
  await tx
    .updateTable('tenants')
    .set((eb) => ({ access_epoch: eb('access_epoch', '+', 1) }))
    .where('uid', '=', tenantUid)
    .executeTakeFirstOrThrow();
}

/** Reads the tenant's current access epoch; throws when the tenant does not exist. */
export function createEpochReader(queries: Queries, tenantUid: string): () => Promise<number> {
  const epoch = hotQuery(queries, ['tenant'], (on, parameter) =>
    on.selectFrom('tenants').where('uid', '=', parameter('tenant')).select('access_epoch'),
  );
  return async () => {
    const row = await epoch(queries, { tenant: tenantUid });
    if (row === undefined) throw new Error('the tenant of this installation is missing from the database');
    return row.access_epoch;
  };
}
