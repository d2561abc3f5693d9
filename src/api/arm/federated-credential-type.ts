import { raiseAccessEpoch } from '../../features/identity/access-epoch.ts';
import { addFederated, removeCredential } from '../../features/identity/credentials.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { findResource, listOfTypeBelow } from '../../features/resources/resource-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import {
  type FederatedCredentialProperties,
  federatedCredentialSchema,
  federatedCredentialTypeName,
} from '../../wire/arm/identity-schema.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { identityOf } from './identity-type.ts';

export type FederatedCredentialTypeParts = { readonly ids: Ids; readonly clock: Clock };

/** Of one identity. Source: Microsoft Entra, "Important considerations and restrictions for federated identity credentials". */
const maxCredentials = 20;

/** Outside tokens that may act as an identity. Source: Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials. */
export function federatedCredentialType(parts: FederatedCredentialTypeParts): ArmType {
  return {
    type: federatedCredentialTypeName,
    level: 'child',
    hasLocation: false,
    hasSystemData: true,
    checkName: (name) => {
      if (/^[A-Za-z0-9][\w-]{2,119}$/.test(name)) return;
      throw refuse('resourceNameInvalid', {
        message:
          `The name '${name.slice(0, 150)}' of the federated credential is invalid: use 3 to 120 letters, digits, - and _, ` +
          'with a letter or digit first.',
        target: 'name',
      });
    },
    validate: ({ desired }) => {
      const properties = parseProperties(federatedCredentialSchema, desired.properties, 'properties');
      return { location: undefined, tags: {}, sku: undefined, identity: undefined, properties };
    },
    settle: async (tx, { resource, previous }) => {
      // Locks the tenant's row: of two requests at once the second sees what the first wrote.
      await raiseAccessEpoch(tx, resource.tenantUid);
      await refuseTwice(tx, resource);
      // A changed trust is a new credential: tokens that were bought with the old one end.
      const isSame = previous !== undefined && sameTrust(trustOf(previous), trustOf(resource));
      const credentialUid = isSame ? credentialUidOf(previous) : parts.ids.uid();
      return { ...resource, properties: { ...resource.properties, credentialUid } };
    },
    apply: async ({ tx }, { resource, previous }) => {
      if (previous !== undefined) {
        if (credentialUidOf(previous) === credentialUidOf(resource)) return;
        await removeTrust(tx, previous);
      }
      await addTrust(parts, tx, resource);
    },
    forget: ({ tx }, resource) => removeTrust(tx, resource),
    properties: (resource) => ({ ...trustOf(resource) }),
  };
}

async function addTrust(parts: FederatedCredentialTypeParts, tx: Transaction, resource: Resource): Promise<void> {
  const request = { name: resource.name, ...trustOf(resource), description: undefined };
  await addFederated(parts, tx, await principalOf(tx, resource), request, credentialUidOf(resource));
}

async function removeTrust(tx: Transaction, resource: Resource): Promise<void> {
  await raiseAccessEpoch(tx, resource.tenantUid);
  const holder = { principalUid: await principalOf(tx, resource), isOfApplication: true };
  await removeCredential(tx, holder, credentialUidOf(resource), 'federated');
}

/** Its parent is there as long as it is. */
async function principalOf(tx: Transaction, { tenantUid, parentId }: Resource): Promise<string> {
  const identity = await findResource(tx, tenantUid, parentId);
  if (identity === undefined) throw new Error(`the identity ${parentId} of a federated credential is missing`);
  return identityOf(identity).uid;
}

async function refuseTwice(tx: Transaction, resource: Resource): Promise<void> {
  const { tenantUid, parentId, uid } = resource;
  const siblings = await listOfTypeBelow(tx, tenantUid, [parentId], federatedCredentialTypeName);
  const others = siblings.filter((each) => each.uid !== uid);
  if (others.length >= maxCredentials)
    throw refuse('quotaExceeded', {
      message: `An identity has at most ${maxCredentials} federated credentials. Delete one first.`,
      target: resource.id,
    });
  const { issuer, subject } = trustOf(resource);
  const same = others.map((each) => ({ name: each.name, trust: trustOf(each) }));
  const found = same.find(({ trust }) => trust.issuer === issuer && trust.subject === subject);
  if (found === undefined) return;
  throw refuse('resourceInvalid', {
    message: `The federated credential '${found.name}' has the same issuer and subject: change it, or delete it first.`,
    target: 'properties.subject',
  });
}

function trustOf({ properties }: { readonly properties: JsonObject }): FederatedCredentialProperties {
  return federatedCredentialSchema.parse(properties);
}

function sameTrust(a: FederatedCredentialProperties, b: FederatedCredentialProperties): boolean {
  return a.issuer === b.issuer && a.subject === b.subject && a.audiences.join('\n') === b.audiences.join('\n');
}

function credentialUidOf({ id, properties: { credentialUid } }: Resource): string {
  if (typeof credentialUid !== 'string') throw new Error(`the federated credential ${id} has lost its id`);
  return credentialUid;
}
