import {
  type ManagedIdentity,
  removeManagedIdentity,
  writeManagedIdentity,
} from '../../features/identity/managed-identities.ts';
import { objectIdOf, uidOfObjectId } from '../../features/identity/object-id.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { Ids } from '../../platform/ids.ts';
import { userAssignedIdentitySchema, userAssignedIdentityTypeName } from '../../wire/arm/identity-schema.ts';
import type { ArmType } from './arm-type.ts';

export type IdentityTypeParts = {
  readonly ids: Ids;
  /** GUID. */
  readonly tenantId: string;
};

/** User-assigned managed identities. Source: Microsoft.ManagedIdentity/userAssignedIdentities; az wire document, 5.3. */
export function userAssignedIdentityType({ ids, tenantId }: IdentityTypeParts): ArmType {
  return {
    type: userAssignedIdentityTypeName,
    level: 'group',
    hasLocation: true,
    hasSystemData: true,
    checkName: (name) => {
      if (/^[A-Za-z0-9][\w-]{2,127}$/.test(name)) return;
      throw refuse('resourceNameInvalid', {
        message:
          `The identity name '${name.slice(0, 150)}' is invalid: use 3 to 128 letters, digits, - and _, ` +
          'with a letter or digit first.',
        target: 'name',
      });
    },
    validate: ({ desired }) => {
      const { isolationScope } = parseProperties(userAssignedIdentitySchema, desired.properties, 'properties');
      const properties = isolationScope ? { isolationScope } : {};
      return { ...desired, sku: undefined, identity: undefined, properties };
    },
    settle: async (_tx, { resource, previous }) => {
      const known = previous === undefined ? undefined : identityOf(previous);
      const { uid, clientId } = known ?? { uid: ids.uid(), clientId: ids.guid() };
      const properties = { ...resource.properties, principalId: objectIdOf(uid), clientId };
      return { ...resource, properties };
    },
    apply: async ({ tx, append }, { resource, author }) => {
      const { tenantUid, changedAtMicros: nowMicros } = resource;
      await writeManagedIdentity(tx, append, identityOf(resource), { tenantUid, actor: author.uid, nowMicros });
    },
    forget: async ({ tx, append }, resource) => {
      const { tenantUid, changedBy } = resource;
      await removeManagedIdentity(tx, append, identityOf(resource).uid, { tenantUid, actor: changedBy.uid });
    },
    properties: ({ properties }) => ({ ...properties, tenantId }),
  };
}

/** The principal behind the resource of a user-assigned identity. */
export function identityOf({ id, name, properties }: Pick<Resource, 'id' | 'name' | 'properties'>): ManagedIdentity {
  const { principalId, clientId } = properties;
  const uid = typeof principalId === 'string' ? uidOfObjectId(principalId) : undefined;
  if (uid === undefined || typeof clientId !== 'string') throw new Error(`the identity ${id} has lost its ids`);
  return { uid, clientId, name, resourceId: id, kind: 'userAssigned' };
}
