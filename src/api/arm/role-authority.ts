import { BerthError } from '../../core/errors.ts';
import type { OperationRightsSource } from '../../features/access/role-operations-source.ts';
import type { Author } from '../../features/resources/resource.ts';
import { type ArmCaller, requireRight } from './arm-caller.ts';

/** Makes the check for somebody whose work goes on after the request that began it. */
export type RequireAs = (author: Author) => Promise<ArmCaller['require']>;

/** With the rights of now: whoever was disabled or removed meanwhile has none. Throws `denied`. */
export function createRequireAs(operationRights: OperationRightsSource): RequireAs {
  return async ({ uid }) => {
    const rights = await operationRights.ofUid(uid);
    if (rights === undefined) throw new BerthError('denied');
    // The deployment itself tells of it: its operations are kept.
    return (requirement) => requireRight(rights, requirement, () => {});
  };
}
