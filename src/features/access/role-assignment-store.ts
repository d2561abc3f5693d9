import type { Queries, Transaction } from '../../platform/database/database.ts';

/** What decisions read of a role assignment. */
export type RoleAssignmentRow = {
  /** The resource's. */
  readonly uid: string;
  readonly tenantUid: string;
  readonly scopeKey: string;
  readonly principalUid: string;
  readonly roleKey: string;
  readonly condition: string | undefined;
};

/** Answers the uid of another assignment of the same role to the same principal at the same scope. */
export async function findEqualAssignment(
  queries: Queries,
  { uid, tenantUid, scopeKey, principalUid, roleKey }: Omit<RoleAssignmentRow, 'condition'>,
): Promise<string | undefined> {
  const row = await queries
    .selectFrom('role_assignments')
    .where('tenant_uid', '=', tenantUid)
    .where('principal_uid', '=', principalUid)
    .where('scope_key', '=', scopeKey)
    .where('role_key', '=', roleKey)
    .where('uid', '!=', uid)
    .select('uid')
    .executeTakeFirst();
  return row?.uid;
}

/** Answers false when an equal one was written meanwhile. */
export async function writeRoleAssignment(tx: Transaction, row: RoleAssignmentRow): Promise<boolean> {
  const condition = row.condition ?? null;
  const written = await tx
    .insertInto('role_assignments')
    .values({
      uid: row.uid,
      tenant_uid: row.tenantUid,
      scope_key: row.scopeKey,
      principal_uid: row.principalUid,
      role_key: row.roleKey,
      condition,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('uid')
    .executeTakeFirst();
  if (written !== undefined) return true;
  const changed = await tx
    .updateTable('role_assignments')
    .set({ condition })
    .where('uid', '=', row.uid)
    .returning('uid')
    .executeTakeFirst();
  return changed !== undefined;
}

export async function deleteRoleAssignment(tx: Transaction, uid: string): Promise<void> {
  await tx.deleteFrom('role_assignments').where('uid', '=', uid).execute();
}

export async function countRoleAssignments(tx: Transaction, tenantUid: string): Promise<number> {
  const { count } = await tx
    .selectFrom('role_assignments')
    .where('tenant_uid', '=', tenantUid)
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}
