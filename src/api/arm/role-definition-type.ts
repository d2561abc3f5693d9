import { roleDefinitionType } from '../../features/access/role-definition.ts';
import {
  applyRoleDefinition,
  forgetRoleDefinition,
  validateRoleDefinition,
  withdrawRoleDefinition,
} from '../../features/access/role-definitions.ts';
import type { ArmType } from './arm-type.ts';
import { checkGuidName, customRoleProperties } from './role-view.ts';

/** Custom roles, kept at their subscription whatever scope they were made at. Source: Microsoft.Authorization/roleDefinitions. */
export const customRolesType: ArmType = {
  type: roleDefinitionType,
  level: 'extension',
  hasLocation: false,
  hasSystemData: false,
  checkName: (name) => checkGuidName(name, 'role definition'),
  validate: validateRoleDefinition,
  apply: ({ tx }, { resource }) => applyRoleDefinition(tx, resource),
  withdraw: ({ tx }, resource) => withdrawRoleDefinition(tx, resource),
  forget: ({ tx }, resource) => forgetRoleDefinition(tx, resource),
  properties: (resource) => customRoleProperties(resource),
};
