import type { Permission } from './role-permission.ts';

export const roleDefinitionType = 'Microsoft.Authorization/roleDefinitions';
export const roleAssignmentType = 'Microsoft.Authorization/roleAssignments';

/** A role that can be assigned. */
export type RoleDefinition = {
  /** GUID, in lower case. */
  readonly key: string;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly Permission[];
};

/** The one form in which ids of roles are shown and kept: clients compare them as texts. */
export function roleDefinitionId(subscriptionId: string, key: string): string {
  return `/subscriptions/${subscriptionId}/providers/${roleDefinitionType}/${key}`;
}

/** The GUID of a role in an id of it, whatever scope stands before; undefined for other texts. */
export function roleKeyOf(id: string): string | undefined {
  const guid = /\/providers\/Microsoft\.Authorization\/roleDefinitions\/([0-9a-f-]{36})$/i.exec(id)?.[1];
  return guid?.toLowerCase();
}
