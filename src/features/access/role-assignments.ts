import type { Transaction } from '../../platform/database/database.ts';
import { type RoleAssignmentRequest, roleAssignmentSchema } from '../../wire/arm/role-schema.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { uidOfObjectId } from '../identity/object-id.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired, Resource } from '../resources/resource.ts';
import { findByUid } from '../resources/resource-store.ts';
import type { Change, Validation } from '../resources/resource-type.ts';
import { ConditionError, parseCondition } from './condition-parser.ts';
import {
  countRoleAssignments,
  deleteRoleAssignment,
  findEqualAssignment,
  type RoleAssignmentRow,
  writeRoleAssignment,
} from './role-assignment-store.ts';
import { roleDefinitionId, roleKeyOf } from './role-definition.ts';
import { findRole } from './role-definition-store.ts';
import { findAssignee } from './role-principals.ts';
import { isWithinScope } from './role-scope.ts';

/** Source: Azure role-based access control limits. */
const maxAssignments = 4_000;

/** Puts what was asked into the form that is kept and shown. Throws `resourceInvalid`, `roleAssignmentFixed`. */
export function validateRoleAssignment({ name, desired, existing }: Validation): Desired {
  const asked = parseProperties(roleAssignmentSchema, desired.properties, 'properties');
  const properties = {
    roleDefinitionId: roleDefinitionId(name.subscriptionId, askedRole(asked)),
    principalId: asked.principalId.toLowerCase(),
    ...(asked.principalType ? { principalType: asked.principalType } : {}),
    ...(asked.description ? { description: asked.description } : {}),
    ...conditionOf(asked),
    ...(asked.delegatedManagedIdentityResourceId
      ? { delegatedManagedIdentityResourceId: asked.delegatedManagedIdentityResourceId }
      : {}),
  };
  if (existing !== undefined) refuseAnother(existing, properties);
  return { location: undefined, tags: {}, sku: undefined, identity: undefined, properties };
}

/**
 * Looks for the principal, the role and an equal assignment. Throws `principalUnknown`, `principalTypeWrong`, `roleUnknown`, `roleNotAssignable`,
 * `roleAssignmentExists`, `roleAssignmentsFull`.
 */
export async function settleRoleAssignment(
  { tenantId }: { readonly tenantId: string },
  tx: Transaction,
  { resource, previous }: Change,
): Promise<Desired> {
  const row = rowOf(resource);
  // Locks the tenant's row: roles and assignments that are written at the same time see each other.
  await raiseAccessEpoch(tx, row.tenantUid);
  const { principalId, principalType: asked } = resource.properties;
  const found = await findAssignee(tx, row.tenantUid, row.principalUid);
  if (found === undefined) {
    const id = String(principalId).replaceAll('-', '');
    throw refuse('principalUnknown', {
      message:
        `Principal ${id} does not exist in the directory ${tenantId}. Check that you have the correct principal ID. ` +
        'A new principal is known at once: list those there are with az ad sp list, az ad user list or az ad group list.',
      target: 'properties.principalId',
    });
  }
  if (typeof asked === 'string' && asked.toLowerCase() !== found.toLowerCase())
    throw refuse('principalTypeWrong', {
      message: `The PrincipalId '${String(principalId)}' has type '${found}', which is different from specified PrincipalType '${asked}'.`,
      target: 'properties.principalType',
    });
  const role = await findRole(tx, row.tenantUid, row.roleKey);
  if (role === undefined)
    throw refuse('roleUnknown', {
      message: `The specified role definition with ID '${row.roleKey}' does not exist. List the roles with az role definition list.`,
      target: 'properties.roleDefinitionId',
    });
  if (!role.assignableScopes.some((scope) => isWithinScope(row.scopeKey, scope.toLowerCase())))
    throw refuse('roleNotAssignable', {
      message: `The role '${role.name}' cannot be assigned at the scope '${resource.parentId}': its assignableScopes are ${role.assignableScopes.join(', ')}.`,
      target: 'properties.roleDefinitionId',
    });
  const equal = await findEqualAssignment(tx, row);
  if (equal !== undefined) throw await existsAlready(tx, equal);
  if (previous === undefined && (await countRoleAssignments(tx, row.tenantUid)) >= maxAssignments)
    throw refuse('roleAssignmentsFull', {
      message: `No more role assignments can be created: there are ${maxAssignments}. Assign roles to groups, or at a higher scope.`,
    });
  return { ...resource, properties: { ...resource.properties, principalType: found } };
}

/** Writes what decisions read, after `settleRoleAssignment`. Throws `roleAssignmentExists`. */
export async function applyRoleAssignment(tx: Transaction, resource: Resource): Promise<void> {
  const row = rowOf(resource);
  if (!(await writeRoleAssignment(tx, row))) throw await existsAlready(tx, await findEqualAssignment(tx, row));
}

export async function forgetRoleAssignment(tx: Transaction, { uid, tenantUid }: Resource): Promise<void> {
  await deleteRoleAssignment(tx, uid);
  await raiseAccessEpoch(tx, tenantUid);
}

/** What a stored assignment means. */
export function rowOf({ uid, tenantUid, parentId, properties }: Resource): RoleAssignmentRow {
  const { condition, principalId, roleDefinitionId: roleId } = properties;
  return {
    uid,
    tenantUid,
    scopeKey: parentId.toLowerCase(),
    principalUid: uidOfObjectId(String(principalId)) ?? '',
    roleKey: roleKeyOf(String(roleId)) ?? '',
    condition: typeof condition === 'string' ? condition : undefined,
  };
}

function askedRole({ roleDefinitionId: id }: RoleAssignmentRequest): string {
  const key = roleKeyOf(id);
  if (key !== undefined) return key;
  throw refuse('resourceInvalid', {
    message:
      `The role definition ID '${id.slice(0, 200)}' is not valid: it ends in ` +
      '/providers/Microsoft.Authorization/roleDefinitions/ and the GUID of a role.',
    target: 'properties.roleDefinitionId',
  });
}

function conditionOf({ condition, conditionVersion }: RoleAssignmentRequest) {
  if (!condition) return {};
  if (conditionVersion !== '2.0')
    throw refuse('resourceInvalid', {
      message: 'A condition needs conditionVersion 2.0.',
      target: 'properties.conditionVersion',
    });
  refuseUnreadable(condition);
  return { condition, conditionVersion };
}

function refuseUnreadable(condition: string): void {
  try {
    parseCondition(condition);
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    throw refuse('resourceInvalid', {
      message: `The condition of the role assignment is not valid: ${error.message}.`,
      target: 'properties.condition',
    });
  }
}

/** Source: Azure role-based access control, "RoleAssignmentUpdateNotPermitted". */
function refuseAnother({ properties, name }: Resource, wanted: { readonly [name: string]: unknown }): void {
  const fixed = ['roleDefinitionId', 'principalId'].filter((member) => properties[member] !== wanted[member]);
  if (fixed.length === 0) return;
  throw refuse('roleAssignmentFixed', {
    message:
      `The role assignment '${name}' is there with another ${fixed.join(' and ')}, and tenant ID, application ID, principal ID, ` +
      'and scope are not allowed to be updated. Create an assignment of another name.',
  });
}

async function existsAlready(tx: Transaction, uid: string | undefined) {
  const existing = uid === undefined ? undefined : await findByUid(tx, uid);
  const id =
    existing === undefined ? '' : ` The ID of the existing role assignment is ${existing.name.replaceAll('-', '')}.`;
  return refuse('roleAssignmentExists', { message: `The role assignment already exists.${id}` });
}
