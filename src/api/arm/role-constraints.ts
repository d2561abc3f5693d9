import { roleAssignmentType, roleKeyOf } from '../../features/access/role-definition.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { ArmCaller } from './arm-caller.ts';
import type { ArmType } from './arm-type.ts';
import type { Requirement } from './role-requirement.ts';

/**
 * Role assignments that are written only where the caller may give that role to that principal: a condition on the caller's own
 * role may say which. Source: Azure role-based access control, "Delegate Azure access management to others".
 */
export function constrained(type: ArmType, require: ArmCaller['require']): ArmType {
  if (type.type !== roleAssignmentType) return type;
  return {
    ...type,
    settle: async (tx, change) => {
      const desired = (await type.settle?.(tx, change)) ?? change.resource;
      require(assignmentRequirement('write', { ...change.resource, ...desired }));
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
