import type { Transaction } from '../../platform/database/database.ts';
import { type RoleDefinitionRequest, roleDefinitionSchema } from '../../wire/arm/role-schema.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired, Resource } from '../resources/resource.ts';
import type { Validation } from '../resources/resource-type.ts';
import { builtInRole, builtInRoles } from './role-built-ins.ts';
import { countCustomRoles, deleteCustomRole, isRoleAssigned, writeCustomRole } from './role-definition-store.ts';
import { isWithinScope } from './role-scope.ts';

/** Source: Azure role-based access control limits. */
const maxCustomRoles = 5_000;

/** Checks a custom role. Throws `resourceInvalid`, `roleBuiltIn`, `roleNameTaken`. */
export function validateRoleDefinition({ name, desired }: Validation): Desired {
  if (builtInRole(name.name.toLowerCase()) !== undefined)
    throw refuse('roleBuiltIn', { message: `The role '${name.name}' is built in and cannot be changed.` });
  if (name.parentId.split('/').length !== 3)
    throw refuse('resourceInvalid', {
      message: `Custom roles are made at their subscription, and '${name.parentId}' is none; assignableScopes narrow where they can be given.`,
      target: 'scope',
    });
  const { description, ...asked } = parseProperties(roleDefinitionSchema, desired.properties, 'properties');
  if (builtInRoles.some((each) => each.name.toLowerCase() === asked.roleName.toLowerCase()))
    throw nameTaken(asked.roleName);
  refuseForeignScopes(asked, name.subscriptionId);
  return {
    location: undefined,
    tags: {},
    sku: undefined,
    identity: undefined,
    properties: { ...asked, description: description ?? '' },
  };
}

/** Throws `roleNameTaken`, `customRolesFull`. */
export async function applyRoleDefinition(tx: Transaction, resource: Resource): Promise<void> {
  const { uid, tenantUid, name } = resource;
  await raiseAccessEpoch(tx, tenantUid);
  const { roleName, permissions, assignableScopes } = definitionOf(resource);
  const role = { uid, tenantUid, key: name.toLowerCase(), name: roleName, permissions, assignableScopes };
  if (!(await writeCustomRole(tx, role))) throw nameTaken(roleName);
  if ((await countCustomRoles(tx, tenantUid)) > maxCustomRoles)
    throw refuse('customRolesFull', {
      message: `There are ${maxCustomRoles} custom roles. Delete one that is not used.`,
    });
}

/** Throws `roleAssigned` while somebody has the role. */
export async function withdrawRoleDefinition(tx: Transaction, { tenantUid, name }: Resource): Promise<void> {
  // Locks the tenant's row: nobody gives the role meanwhile.
  await raiseAccessEpoch(tx, tenantUid);
  if (!(await isRoleAssigned(tx, tenantUid, name.toLowerCase()))) return;
  throw refuse('roleAssigned', {
    message: `There are existing role assignments referencing role '${name}'. Delete them first.`,
  });
}

export async function forgetRoleDefinition(tx: Transaction, { uid, tenantUid }: Resource): Promise<void> {
  await deleteCustomRole(tx, uid);
  await raiseAccessEpoch(tx, tenantUid);
}

export function definitionOf({ properties }: Pick<Resource, 'properties'>): RoleDefinitionRequest {
  return roleDefinitionSchema.parse(properties);
}

function refuseForeignScopes({ assignableScopes }: RoleDefinitionRequest, subscriptionId: string): void {
  const own = `/subscriptions/${subscriptionId.toLowerCase()}`;
  const foreign = assignableScopes.find((scope) => !isWithinScope(scope.toLowerCase(), own));
  if (foreign === undefined) return;
  throw refuse('resourceInvalid', {
    message: `The scope '${foreign.slice(0, 200)}' is not in the subscription '${subscriptionId}', so the role cannot be assignable there.`,
    target: 'properties.assignableScopes',
  });
}

function nameTaken(name: string) {
  return refuse('roleNameTaken', {
    message: `A role of the name '${name}' exists already in this directory. Choose another name.`,
    target: 'properties.roleName',
  });
}
