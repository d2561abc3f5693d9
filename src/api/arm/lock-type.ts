import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import { lockType } from '../../features/resources/resource-names.ts';
import { lockPropertiesSchema } from '../../wire/arm/lock-schema.ts';
import type { ArmType } from './arm-type.ts';

/** Locks on subscriptions, groups and resources, inherited by what is inside. Source: Microsoft.Authorization/locks. */
export const resourceLockType: ArmType = {
  type: lockType,
  level: 'extension',
  hasLocation: false,
  hasSystemData: true,
  checkName: (name) => {
    if (/^[-\w.()]{1,90}$/.test(name) && !name.endsWith('.')) return;
    throw refuse('resourceNameInvalid', {
      message: `The lock name '${name.slice(0, 100)}' is invalid: use 1 to 90 letters, digits, and - _ . ( ).`,
      target: 'name',
    });
  },
  validate: ({ desired }) => {
    const { level, notes } = parseProperties(lockPropertiesSchema, desired.properties, 'properties');
    const properties = { level, ...(notes ? { notes } : {}) };
    return { location: undefined, tags: {}, sku: undefined, identity: undefined, properties };
  },
  properties: ({ properties }) => properties,
};
