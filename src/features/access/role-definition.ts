import type { Permission } from './role-permission.ts';

export const roleDefinitionType = 'Microsoft.Authorization/roleDefinitions';

/** A role that can be assigned. */
export type RoleDefinition = {
  /** GUID, in lower case. */
  readonly key: string;
  readonly name: string;
  readonly description: string;
  readonly permissions: readonly Permission[];
};
