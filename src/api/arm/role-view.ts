import { type RoleDefinition, roleDefinitionId, roleDefinitionType } from '../../features/access/role-definition.ts';
import { definitionOf } from '../../features/access/role-definitions.ts';
import { isGuid, objectIdOf } from '../../features/identity/object-id.ts';
import { plainJson } from '../../features/registries/registry-rules.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { isoTime } from './resource-view.ts';

/** Roles that nobody made have a time all the same. */
const builtInTime = '2015-02-02T21:55:09.8806423Z';

/** `properties` of an assignment. Source: az wire document, 5.1. */
export function roleAssignmentProperties(resource: Resource): JsonObject {
  const { condition, conditionVersion, description, delegatedManagedIdentityResourceId, ...properties } =
    resource.properties;
  return {
    ...properties,
    scope: resource.parentId,
    condition: condition ?? null,
    conditionVersion: conditionVersion ?? null,
    description: description ?? null,
    delegatedManagedIdentityResourceId: delegatedManagedIdentityResourceId ?? null,
    ...times(resource),
  };
}

export function customRoleProperties(resource: Resource): JsonObject {
  const { roleName, description, assignableScopes, permissions } = definitionOf(resource);
  return {
    roleName,
    type: 'CustomRole',
    description: description ?? '',
    assignableScopes,
    permissions: permissions.map(plainJson),
    ...times(resource),
  };
}

/** A role as its address shows it; `subscriptionId` is undefined at the root of the tenant. */
export function builtInRoleView(role: RoleDefinition, subscriptionId: string | undefined): JsonObject {
  const id = `/providers/${roleDefinitionType}/${role.key}`;
  return {
    id: subscriptionId === undefined ? id : roleDefinitionId(subscriptionId, role.key),
    name: role.key,
    type: roleDefinitionType,
    properties: {
      roleName: role.name,
      type: 'BuiltInRole',
      description: role.description,
      assignableScopes: ['/'],
      permissions: role.permissions.map(plainJson),
      createdOn: builtInTime,
      updatedOn: builtInTime,
      createdBy: null,
      updatedBy: null,
    },
  };
}

/** Throws `resourceNameInvalid`. */
export function checkGuidName(name: string, what: string): void {
  if (isGuid(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The ${what} ID '${name.slice(0, 100)}' is not valid. The ${what} ID must be a GUID.`,
    target: 'name',
  });
}

function times({ createdAtMicros, changedAtMicros, createdBy, changedBy }: Resource): JsonObject {
  return {
    createdOn: isoTime(createdAtMicros),
    updatedOn: isoTime(changedAtMicros),
    createdBy: authorIdOf(createdBy.uid),
    updatedBy: authorIdOf(changedBy.uid),
  };
}

/** Empty for what the installation itself did. */
function authorIdOf(uid: string): string {
  try {
    return objectIdOf(uid);
  } catch (error) {
    if (error instanceof RangeError) return '';
    throw error;
  }
}
