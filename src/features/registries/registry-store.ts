import type { RegistryName } from '../../core/registry-name.ts';
import { parseRegistryName, registryKey } from '../../core/registry-name.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Registry, Sku } from './registry.ts';

/** The text clients address a registry by: `<name>.<domain>`, with the port unless it is 443, in lower case. */
export type LoginServerOf = (name: RegistryName) => string;

export type NewRegistry = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly name: RegistryName;
  readonly sku: Sku;
  readonly isAdminEnabled: boolean;
  readonly isAnonymousPullEnabled: boolean;
};

/** Writes nothing and answers false when the name is taken. */
export async function insertRegistry(tx: Transaction, registry: NewRegistry, nowMicros: number): Promise<boolean> {
  const inserted = await tx
    .insertInto('registries')
    .values({
      uid: registry.uid,
      tenant_uid: registry.tenantUid,
      name: registry.name,
      name_key: registryKey(registry.name),
      sku: registry.sku,
      is_admin_enabled: registry.isAdminEnabled ? 1 : 0,
      is_anonymous_pull_enabled: registry.isAnonymousPullEnabled ? 1 : 0,
      created_at: nowMicros,
    })
    .onConflict((conflict) => conflict.column('name_key').doNothing())
    .returning('uid')
    .executeTakeFirst();
  return inserted !== undefined;
}

export type RegistrySwitch = 'isAdminEnabled' | 'isAnonymousPullEnabled';

const switchColumns = {
  isAdminEnabled: 'is_admin_enabled',
  isAnonymousPullEnabled: 'is_anonymous_pull_enabled',
} as const;

/** Answers the registry as it then is, or undefined when there is none of that uid in the tenant. */
export async function setSwitch(
  tx: Transaction,
  at: { readonly tenantUid: string; readonly uid: string },
  change: { readonly name: RegistrySwitch; readonly isOn: boolean },
): Promise<NewRegistry | undefined> {
  const row = await tx
    .updateTable('registries')
    .set({ [switchColumns[change.name]]: change.isOn ? 1 : 0 })
    .where('uid', '=', at.uid)
    .where('tenant_uid', '=', at.tenantUid)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? undefined : registryOf(row);
}

/** All registries of a tenant, by name. */
export async function listRegistries(
  queries: Queries,
  tenantUid: string,
  loginServerOf: LoginServerOf,
): Promise<Registry[]> {
  const rows = await queries
    .selectFrom('registries')
    .where('tenant_uid', '=', tenantUid)
    .orderBy('name_key')
    .selectAll()
    .execute();
  return rows.map(registryOf).map((registry) => ({ ...registry, loginServer: loginServerOf(registry.name) }));
}

type RegistryRow = {
  readonly uid: string;
  readonly tenant_uid: string;
  readonly name: string;
  readonly sku: Sku;
  readonly is_admin_enabled: number;
  readonly is_anonymous_pull_enabled: number;
};

function registryOf(row: RegistryRow): NewRegistry {
  return {
    uid: row.uid,
    tenantUid: row.tenant_uid,
    name: parseRegistryName(row.name),
    sku: row.sku,
    isAdminEnabled: row.is_admin_enabled === 1,
    isAnonymousPullEnabled: row.is_anonymous_pull_enabled === 1,
  };
}
