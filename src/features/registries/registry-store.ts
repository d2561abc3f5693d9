import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { RegistryName } from '../../core/registry-name.ts';
import { parseRegistryName, registryKey } from '../../core/registry-name.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import type { ImmutableTagRule } from '../../wire/arm/immutable-tags-schema.ts';
import { type NetworkRules, openAccess, type PermissionMode, type Registry, type Sku } from './registry.ts';

/** The text clients address a registry by: `<label>.<domain>`, with the port unless it is 443, in lower case. */
export type LoginServerOf = (hostLabel: string) => string;

export type NewRegistry = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly name: RegistryName;
  /** First label of the login server; the name in lower case when absent. */
  readonly hostLabel?: string;
  readonly sku: Sku;
  readonly isAdminEnabled: boolean;
  readonly isAnonymousPullEnabled: boolean;
  readonly anonymousRepositories: readonly string[];
  readonly network: NetworkRules;
  readonly acceptsArmTokens: boolean;
  readonly permissionMode: PermissionMode;
  /** Rules for tags that are written once. */
  readonly immutableTags?: readonly ImmutableTagRule[];
  /** After so many days a manifest without a tag is deleted; never unless given. */
  readonly retentionDays?: number | undefined;
  /** Whether what is deleted can be restored, and for how many days; no and seven unless given. */
  readonly softDelete?: { readonly isEnabled: boolean; readonly days: number };
};

/** The column `network_rules`. */
const networkSchema = z.object({
  isPublic: z.boolean().default(openAccess.network.isPublic),
  defaultAction: z.enum(['Allow', 'Deny']).default(openAccess.network.defaultAction),
  allowed: z.array(z.string()).default([]),
  admitsTrustedServices: z.boolean().default(openAccess.network.admitsTrustedServices),
  acceptsArmTokens: z.boolean().default(openAccess.acceptsArmTokens),
});
const namesSchema = z.array(z.string());

/** Writes nothing and answers false when the name is taken. */
export async function insertRegistry(tx: Transaction, registry: NewRegistry, nowMicros: number): Promise<boolean> {
  const inserted = await tx
    .insertInto('registries')
    .values({
      uid: registry.uid,
      tenant_uid: registry.tenantUid,
      name: registry.name,
      name_key: registryKey(registry.name),
      host_label: registry.hostLabel ?? registryKey(registry.name),
      ...changingColumns(registry),
      created_at: nowMicros,
    })
    .onConflict((conflict) => conflict.column('name_key').doNothing())
    .returning('uid')
    .executeTakeFirst();
  return inserted !== undefined;
}

/**
 * Writes what may change of a registry. Another permission mode ends tokens that were issued before the tenant's epoch,
 * which the caller has raised.
 */
export async function updateRegistry(tx: Transaction, registry: NewRegistry): Promise<void> {
  await tx
    .updateTable('registries')
    .set((eb) => ({
      ...changingColumns(registry),
      credentials_epoch: eb
        .case()
        .when('permission_mode', '!=', registry.permissionMode)
        .then(eb.selectFrom('tenants').where('tenants.uid', '=', registry.tenantUid).select('access_epoch'))
        .else(eb.ref('credentials_epoch'))
        .end(),
    }))
    .where('uid', '=', registry.uid)
    .executeTakeFirstOrThrow();
  // Only what loses its tag under the policy counts.
  if (registry.retentionDays === undefined)
    await tx.deleteFrom('untagged_manifests').where('registry_uid', '=', registry.uid).execute();
}

function changingColumns(registry: NewRegistry) {
  const { network, acceptsArmTokens } = registry;
  return {
    sku: registry.sku,
    is_admin_enabled: registry.isAdminEnabled ? 1 : 0,
    is_anonymous_pull_enabled: registry.isAnonymousPullEnabled ? 1 : 0,
    permission_mode: registry.permissionMode,
    immutable_tags: JSON.stringify(registry.immutableTags ?? []),
    network_rules: JSON.stringify({ ...network, acceptsArmTokens }),
    anonymous_repositories: JSON.stringify(registry.anonymousRepositories),
    retention_days: registry.retentionDays ?? null,
    keeps_deleted: registry.softDelete?.isEnabled === true ? 1 : 0,
    deleted_days: registry.softDelete?.days ?? 7,
  };
}

/** What the installation sets of a registry by itself; what is left out stays. */
export type OwnLimits = {
  readonly isThrottled?: boolean;
  /** Null for what its SKU may. */
  readonly storageLimitBytes?: number | null;
};

/** Writes limits that are no part of the resource; answers all as they then are. */
export async function updateOwnLimits(
  tx: Transaction,
  registryUid: string,
  { isThrottled, storageLimitBytes }: OwnLimits,
): Promise<Required<OwnLimits>> {
  const row = await tx
    .updateTable('registries')
    .set({
      ...(isThrottled === undefined ? {} : { is_throttled: isThrottled ? 1 : 0 }),
      ...(storageLimitBytes === undefined ? {} : { storage_limit: storageLimitBytes }),
    })
    .where('uid', '=', registryUid)
    .returning(['is_throttled', 'storage_limit'])
    .executeTakeFirstOrThrow();
  return { isThrottled: row.is_throttled === 1, storageLimitBytes: row.storage_limit };
}

/** From now on nobody reaches it, and its name stays taken. */
export async function hideRegistry(tx: Transaction, uid: string): Promise<void> {
  await tx
    .updateTable('registries')
    .set({ is_deleting: 1, is_admin_enabled: 0, is_anonymous_pull_enabled: 0 })
    .where('uid', '=', uid)
    .execute();
}

/** Whether a registry of that name exists or is being deleted. */
export async function isNameTaken(queries: Queries, name: string): Promise<boolean> {
  const row = await queries
    .selectFrom('registries')
    .where('name_key', '=', registryKey(name))
    .select('uid')
    .executeTakeFirst();
  return row !== undefined;
}

/** All registries of a tenant, the oldest first. */
export async function listRegistries(
  queries: Queries,
  tenantUid: string,
  loginServerOf: LoginServerOf,
): Promise<Registry[]> {
  const rows = await queries
    .selectFrom('registries as r')
    .innerJoin('resources as o', 'o.uid', 'r.uid')
    .where('r.tenant_uid', '=', tenantUid)
    .where('r.is_deleting', '=', 0)
    .orderBy('r.created_at')
    .orderBy('r.uid')
    .selectAll('r')
    .select('o.id_key as resource_key')
    .execute();
  return rows.map((row) => registryOf(row, loginServerOf));
}

type RegistryRow = Selectable<Schema['registries']> & { readonly resource_key: string };

function registryOf(row: RegistryRow, loginServerOf: LoginServerOf): Registry {
  const { acceptsArmTokens, ...network } = networkSchema.parse(JSON.parse(row.network_rules));
  return {
    uid: row.uid,
    tenantUid: row.tenant_uid,
    name: parseRegistryName(row.name),
    resourceKey: row.resource_key,
    loginServer: loginServerOf(row.host_label === '' ? row.name_key : row.host_label),
    sku: row.sku,
    isAdminEnabled: row.is_admin_enabled === 1,
    isAnonymousPullEnabled: row.is_anonymous_pull_enabled === 1,
    permissionMode: row.permission_mode,
    credentialsEpoch: row.credentials_epoch,
    anonymousRepositories: namesSchema.parse(JSON.parse(row.anonymous_repositories)),
    network,
    acceptsArmTokens,
    isThrottled: row.is_throttled === 1,
    storageLimitBytes: row.storage_limit ?? undefined,
  };
}
