import { BerthError } from '../../core/errors.ts';
import { parseRegistryName } from '../../core/registry-name.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { type AdminAccountParts, writeAdminAccount } from '../identity/admin-account.ts';
import type { Resource } from '../resources/resource.ts';
import { propertiesOf, skuOf } from './registry-rules.ts';
import { insertRegistry, type NewRegistry, updateRegistry } from './registry-store.ts';

/** Writes what requests read of a new registry, with its admin account. Throws `registryNameTaken`. */
export async function createRegistryRows(parts: AdminAccountParts, tx: Transaction, resource: Resource): Promise<void> {
  const registry = rowsOf(resource);
  const isWritten = await insertRegistry(tx, registry, resource.createdAtMicros);
  if (!isWritten)
    throw new BerthError('registryNameTaken', { name: registry.name, message: takenMessage(registry.name) });
  await writeAdminAccount(parts, tx, registry);
  await raiseAccessEpoch(tx, registry.tenantUid);
}

/** Brings the rows in line with a registry that changed. */
export async function changeRegistryRows(tx: Transaction, resource: Resource): Promise<void> {
  await raiseAccessEpoch(tx, resource.tenantUid);
  await updateRegistry(tx, rowsOf(resource));
}

export function takenMessage(name: string): string {
  return `The registry DNS name ${name} is already in use.`;
}

function rowsOf(resource: Resource): NewRegistry {
  const properties = propertiesOf(resource);
  const { networkRuleSet, policies } = properties;
  return {
    uid: resource.uid,
    tenantUid: resource.tenantUid,
    name: parseRegistryName(resource.name),
    hostLabel: properties.hostLabel,
    sku: skuOf(resource),
    isAdminEnabled: properties.adminUserEnabled,
    isAnonymousPullEnabled: properties.anonymousPullEnabled,
    anonymousRepositories: properties.anonymousPullRepositories,
    network: {
      isPublic: properties.publicNetworkAccess === 'Enabled',
      defaultAction: networkRuleSet.defaultAction,
      allowed: networkRuleSet.ipRules.map((rule) => rule.value),
      admitsTrustedServices: properties.networkRuleBypassOptions === 'AzureServices',
    },
    permissionMode: properties.roleAssignmentMode,
    immutableTags: policies.immutableTagsPolicy.status === 'enabled' ? policies.immutableTagsPolicy.rules : [],
    retentionDays: policies.retentionPolicy.status === 'enabled' ? policies.retentionPolicy.days : undefined,
    softDelete: {
      isEnabled: policies.softDeletePolicy.status === 'enabled',
      days: policies.softDeletePolicy.retentionDays,
    },
    acceptsArmTokens: policies.azureADAuthenticationAsArmPolicy.status === 'enabled',
  };
}
