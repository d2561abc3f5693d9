import type { Queries, Transaction } from '../../platform/database/database.ts';
import { builtInRole } from './role-built-ins.ts';
import type { RoleDefinition } from './role-definition.ts';
import { storedRoleSchema } from './role-store.ts';

/** A role and where it can be given. */
export type AssignableRole = Pick<RoleDefinition, 'key' | 'name' | 'permissions'> & {
  readonly assignableScopes: readonly string[];
};

/** A custom role with what it was made of. */
export type CustomRole = AssignableRole & {
  /** The resource's. */
  readonly uid: string;
  readonly tenantUid: string;
};

/** Built in or custom; undefined when there is none of that GUID. */
export async function findRole(queries: Queries, tenantUid: string, key: string): Promise<AssignableRole | undefined> {
  const builtIn = builtInRole(key);
  if (builtIn !== undefined) return { ...builtIn, assignableScopes: ['/'] };
  const row = await queries
    .selectFrom('custom_roles')
    .where('tenant_uid', '=', tenantUid)
    .where('role_key', '=', key)
    .select('definition')
    .executeTakeFirst();
  return row && { key, ...storedRoleSchema.parse(JSON.parse(row.definition)) };
}

/** Writes a new one or another form of it; answers false when a role of the tenant has its name or GUID. */
export async function writeCustomRole(tx: Transaction, { uid, tenantUid, key, ...role }: CustomRole): Promise<boolean> {
  const columns = { name_key: role.name.toLowerCase(), definition: JSON.stringify(role) };
  const taken = await tx
    .selectFrom('custom_roles')
    .where('tenant_uid', '=', tenantUid)
    .where('name_key', '=', columns.name_key)
    .where('uid', '!=', uid)
    .select('uid')
    .executeTakeFirst();
  if (taken !== undefined) return false;
  const written = await tx
    .insertInto('custom_roles')
    .values({ uid, tenant_uid: tenantUid, role_key: key, ...columns })
    .onConflict((conflict) => conflict.doNothing())
    .returning('uid')
    .executeTakeFirst();
  if (written !== undefined) return true;
  const changed = await tx
    .updateTable('custom_roles')
    .set(columns)
    .where('uid', '=', uid)
    .returning('uid')
    .executeTakeFirst();
  return changed !== undefined;
}

export async function deleteCustomRole(tx: Transaction, uid: string): Promise<void> {
  await tx.deleteFrom('custom_roles').where('uid', '=', uid).execute();
}

export async function countCustomRoles(tx: Transaction, tenantUid: string): Promise<number> {
  const { count } = await tx
    .selectFrom('custom_roles')
    .where('tenant_uid', '=', tenantUid)
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function isRoleAssigned(tx: Transaction, tenantUid: string, key: string): Promise<boolean> {
  const row = await tx
    .selectFrom('role_assignments')
    .where('tenant_uid', '=', tenantUid)
    .where('role_key', '=', key)
    .select('uid')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
