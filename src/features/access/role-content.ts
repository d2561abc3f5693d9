import type { PermissionMode } from '../registries/registry.ts';
import type { Action } from './decision.ts';
import { type OperationKind, type Permission, permits } from './role-permission.ts';

/** Actions on content that roles give. */
export type ContentAction = Exclude<Action, 'connect' | 'administer'>;

const registries = 'Microsoft.ContainerRegistry/registries';

/**
 * Which actions of a role give an action on content, one of them being enough.
 * Source: ACR semantics, "Built-in roles". Pulling includes listing tags and repositories.
 */
const byAction: Readonly<Record<ContentAction, readonly string[]>> = {
  pull: [`${registries}/pull/read`],
  push: [`${registries}/push/write`],
  delete: [`${registries}/artifacts/delete`],
  metadata_read: [`${registries}/pull/read`, `${registries}/metadata/read`],
  metadata_write: [`${registries}/metadata/write`],
  catalogList: [`${registries}/pull/read`],
  deletedCatalogList: [`${registries}/deleted/read`],
  deleted_read: [`${registries}/deleted/read`],
  deleted_restore: [`${registries}/deleted/restore/action`],
  quarantine_read: [`${registries}/quarantine/read`],
  quarantine_write: [`${registries}/quarantine/write`],
};

/** The same for data actions. ACR names none for what is soft-deleted: these are ours, for custom roles. */
const byDataAction: Readonly<Record<ContentAction, readonly string[]>> = {
  pull: [`${registries}/repositories/content/read`],
  push: [`${registries}/repositories/content/write`],
  delete: [`${registries}/repositories/content/delete`],
  metadata_read: [`${registries}/repositories/metadata/read`],
  metadata_write: [`${registries}/repositories/metadata/write`],
  catalogList: [`${registries}/catalog/read`],
  deletedCatalogList: [`${registries}/repositories/deleted/read`],
  deleted_read: [`${registries}/repositories/deleted/read`],
  deleted_restore: [`${registries}/repositories/deleted/restore/action`],
  quarantine_read: [`${registries}/quarantinedArtifacts/read`],
  quarantine_write: [`${registries}/quarantinedArtifacts/write`],
};

export const contentActions: readonly ContentAction[] = [
  'pull',
  'push',
  'delete',
  'metadata_read',
  'metadata_write',
  'catalogList',
  'deletedCatalogList',
  'deleted_read',
  'deleted_restore',
  'quarantine_read',
  'quarantine_write',
];

/** The operations of which one is enough for an action on content, in a permission mode. */
export function operationsFor(
  mode: PermissionMode,
  action: ContentAction,
): { readonly kind: OperationKind; readonly operations: readonly string[] } {
  return mode === 'LegacyRegistryPermissions'
    ? { kind: 'action', operations: byAction[action] }
    : { kind: 'dataAction', operations: byDataAction[action] };
}

/** What permissions allow on the content of a registry in that mode. Source: ACR semantics, "Two permission modes". */
export function contentActionsOf(permissions: readonly Permission[], mode: PermissionMode): readonly ContentAction[] {
  return contentActions.filter((action) => {
    const { kind, operations } = operationsFor(mode, action);
    return operations.some((operation) => permits(permissions, kind, operation));
  });
}
