import {
  applyRoleAssignment,
  forgetRoleAssignment,
  settleRoleAssignment,
  validateRoleAssignment,
} from '../../features/access/role-assignments.ts';
import { roleAssignmentType } from '../../features/access/role-definition.ts';
import type { ArmType } from './arm-type.ts';
import { checkGuidName, roleAssignmentProperties } from './role-view.ts';

/** Who has which role where, inherited by what is inside. Source: Microsoft.Authorization/roleAssignments. */
export function roleAssignmentsType(parts: { readonly tenantId: string }): ArmType {
  return {
    type: roleAssignmentType,
    level: 'extension',
    hasLocation: false,
    hasSystemData: false,
    checkName: (name) => checkGuidName(name, 'role assignment'),
    validate: validateRoleAssignment,
    settle: (tx, change) => settleRoleAssignment(parts, tx, change),
    apply: ({ tx }, { resource }) => applyRoleAssignment(tx, resource),
    forget: ({ tx }, resource) => forgetRoleAssignment(tx, resource),
    properties: (resource) => roleAssignmentProperties(resource),
  };
}
