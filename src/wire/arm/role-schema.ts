import { z } from 'zod';

/** `null` says the same as leaving out. */
const text = (length: number) => z.string().max(length).nullish();

/**
 * What can be set of a role assignment. `principalId` is an object id, `roleDefinitionId` an id that ends in
 * `/providers/Microsoft.Authorization/roleDefinitions/{guid}`. Source: Microsoft.Authorization/roleAssignments.
 */
export const roleAssignmentSchema = z.object({
  roleDefinitionId: z.string().min(1).max(500),
  principalId: z.guid(),
  principalType: text(50),
  description: text(2_000),
  condition: text(8_192),
  conditionVersion: text(10),
  delegatedManagedIdentityResourceId: text(1_000),
});
export type RoleAssignmentRequest = z.infer<typeof roleAssignmentSchema>;

/** `Microsoft.ContainerRegistry/registries/read`, with `*` for any text, or `*` alone. */
const operation = z
  .string()
  .max(300)
  .regex(
    /^(\*|[A-Za-z0-9.*]+\/[A-Za-z0-9./*_-]+|\*\/[A-Za-z]+)$/,
    'an operation such as Microsoft.ContainerRegistry/registries/read',
  );
const operations = z.array(operation).max(2_000).default([]);

export const permissionSchema = z.object({
  actions: operations,
  notActions: operations,
  dataActions: operations,
  notDataActions: operations,
});

/** What can be set of a custom role. Source: Microsoft.Authorization/roleDefinitions. */
export const roleDefinitionSchema = z.object({
  roleName: z.string().trim().min(1).max(128),
  description: text(1_024),
  permissions: z.array(permissionSchema).min(1, 'a role needs permissions').max(100),
  assignableScopes: z.array(z.string().max(1_000)).min(1, 'a role needs a scope at which it can be assigned').max(100),
});
export type RoleDefinitionRequest = z.infer<typeof roleDefinitionSchema>;
