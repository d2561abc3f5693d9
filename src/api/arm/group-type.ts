import { refuse } from '../../features/resources/refuse.ts';
import { groupType } from '../../features/resources/resource-names.ts';
import type { ArmType } from './arm-type.ts';

/** Resource groups. Source: Microsoft.Resources/resourceGroups. */
export const resourceGroupType: ArmType = {
  type: groupType,
  level: 'subscription',
  hasLocation: true,
  hasSystemData: false,
  checkName: (name) => {
    if (/^[-\w.()]{1,90}$/.test(name) && !name.endsWith('.')) return;
    throw refuse('resourceNameInvalid', {
      message:
        `The provided resource group name '${name.slice(0, 100)}' is invalid: use 1 to 90 letters, digits, and - _ . ( ), ` +
        'and no period at the end.',
      target: 'name',
    });
  },
  validate: ({ desired }) => ({ ...desired, sku: undefined, identity: undefined, properties: {} }),
  // Its members leave before it, which takes time.
  clear: async () => {},
  properties: ({ state }) => ({ provisioningState: state }),
};
