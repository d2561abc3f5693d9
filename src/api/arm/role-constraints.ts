import { roleAssignmentType, roleDefinitionType, roleKeyOf } from '../../features/access/role-definition.ts';
import { definitionOf } from '../../features/access/role-definitions.ts';
import type { Desired, Resource } from '../../features/resources/resource.ts';
import { userAssignedIdentityTypeName } from '../../wire/arm/identity-schema.ts';
import { isJsonObject } from '../../wire/arm/json.ts';
import type { ArmCaller } from './arm-caller.ts';
import type { ArmType } from './arm-type.ts';
import type { Requirement } from './role-requirement.ts';

/**
 * The type with what its body needs beyond the address: the right to give that role to that principal, as a condition on the
 * caller's own role may say which; the right to change a role everywhere it can be given; the right to use each managed identity
 * that is new on a resource.
 * Source: Azure role-based access control, "Delegate Azure access management to others"; "Managed Identity Operator".
 */
export function constrained(type: ArmType, require: ArmCaller['require']): ArmType {
  return {
    ...type,
    settle: async (tx, change) => {
      const desired = (await type.settle?.(tx, change)) ?? change.resource;
      const resource = { ...change.resource, ...desired };
      if (type.type === roleAssignmentType) require(assignmentRequirement('write', resource));
      if (type.type === roleDefinitionType) definitionRequirements('write', resource, change.previous).forEach(require);
      for (const each of identityRequirements(resource, change.previous)) require(each);
      return desired;
    },
  };
}

/** What writing or deleting this assignment needs. */
export function assignmentRequirement(
  verb: 'write' | 'delete',
  { parentId, properties }: Pick<Resource, 'parentId' | 'properties'>,
): Requirement {
  const { roleDefinitionId, principalId, principalType } = properties;
  const facts = {
    roledefinitionid: roleKeyOf(String(roleDefinitionId)) ?? '',
    principalid: String(principalId),
    principaltype: String(principalType),
  };
  const attributes = new Map(
    Object.entries(facts).map(([name, value]) => [`${roleAssignmentType.toLowerCase()}:${name}`, value]),
  );
  return { kind: 'operation', operation: `${roleAssignmentType}/${verb}`, scope: parentId, attributes };
}

/** What writing or deleting this custom role needs: the right at each scope where it can be given, before and after. */
export function definitionRequirements(
  verb: 'write' | 'delete',
  ...states: readonly (Pick<Resource, 'properties'> | undefined)[]
): readonly Requirement[] {
  const operation = `${roleDefinitionType}/${verb}`;
  const scopes = states.flatMap((state) => (state === undefined ? [] : definitionOf(state).assignableScopes));
  return [...new Set(scopes)].map((scope) => ({ kind: 'operation', operation, scope }));
}

function identityRequirements(wanted: Desired, before: Desired | undefined): readonly Requirement[] {
  const known = new Set(identitiesOf(before).map(({ key }) => key));
  const operation = `${userAssignedIdentityTypeName}/assign/action`;
  return identitiesOf(wanted)
    .filter(({ key }) => !known.has(key))
    .map(({ id }) => ({ kind: 'operation', operation, scope: id }));
}

/** One that was deleted and made anew is another, though it has the same name. */
function identitiesOf(desired: Desired | undefined): readonly { readonly id: string; readonly key: string }[] {
  const identities = desired?.identity?.userAssignedIdentities;
  if (identities === undefined || !isJsonObject(identities)) return [];
  return Object.entries(identities).map(([id, ids]) => {
    const principalId = isJsonObject(ids) ? ids.principalId : undefined;
    return { id, key: `${id.toLowerCase()} ${String(principalId)}` };
  });
}
