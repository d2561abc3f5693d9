import type { Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Append } from '../../platform/journal/journal.ts';
import { userAssignedIdentityTypeName } from '../../wire/arm/identity-schema.ts';
import { isJsonObject, type JsonObject } from '../../wire/arm/json.ts';
import { identitySchema } from '../../wire/arm/registry-schema.ts';
import { removeManagedIdentity, writeManagedIdentity } from '../identity/managed-identities.ts';
import { objectIdOf, uidOfObjectId } from '../identity/object-id.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import { idKey, type Resource } from '../resources/resource.ts';
import { findResource } from '../resources/resource-store.ts';
import type { Change, Writing } from '../resources/resource-type.ts';

export type RegistryIdentityParts = {
  readonly ids: Ids;
  /** GUID of the tenant, in the identity that a registry shows. */
  readonly tenantId: string;
};

const maxIdentities = 20;

/** The ids behind the identities of a registry: its own, and those assigned to it. Throws `resourceInvalid`, `quotaExceeded`. */
export async function settleRegistryIdentity(
  { ids, tenantId }: RegistryIdentityParts,
  tx: Transaction,
  { resource, previous }: Pick<Change, 'resource' | 'previous'>,
): Promise<JsonObject | undefined> {
  if (resource.identity === undefined) return undefined;
  const { type, userAssignedIdentities } = parseProperties(identitySchema, resource.identity, 'identity');
  if (type === 'None') return undefined;
  const before = previous?.identity?.principalId;
  const system = type.includes('SystemAssigned')
    ? { principalId: typeof before === 'string' ? before : objectIdOf(ids.uid()), tenantId }
    : {};
  if (!type.includes('UserAssigned')) return { type, ...system };
  const wanted = Object.entries(userAssignedIdentities ?? {})
    .filter(([, value]) => value !== null)
    .map(([id]) => id);
  refuseCount(type, wanted.length);
  const kept = assignedTo(previous);
  const known: [string, JsonObject][] = [];
  for (const id of wanted) known.push(await userAssigned(tx, resource.tenantUid, id, kept));
  return { type, ...system, userAssignedIdentities: Object.fromEntries(known) };
}

function refuseCount(type: string, count: number): void {
  if (count === 0)
    throw refuse('resourceInvalid', {
      message: `The identity type '${type}' needs at least one entry in userAssignedIdentities.`,
      target: 'identity.userAssignedIdentities',
    });
  if (count > maxIdentities)
    throw refuse('quotaExceeded', {
      message: `A registry has at most ${maxIdentities} managed identities.`,
      target: 'identity',
    });
}

/** An id as it is shown, with what is shown of it. */
type Assigned = readonly [id: string, ids: JsonObject];

/** By the lower-cased ids. */
function assignedTo(registry: Resource | undefined): ReadonlyMap<string, Assigned> {
  const assigned = registry?.identity?.userAssignedIdentities;
  const entries = isJsonObject(assigned) ? Object.entries(assigned) : [];
  return new Map(entries.flatMap(([id, ids]) => (isJsonObject(ids) ? [[idKey(id), [id, ids]] as const] : [])));
}

/** One that was deleted since it was assigned stays as it was, so that other changes of the registry go on. */
async function userAssigned(
  tx: Transaction,
  tenantUid: string,
  id: string,
  kept: ReadonlyMap<string, Assigned>,
): Promise<[string, JsonObject]> {
  const found = await findResource(tx, tenantUid, id);
  const isIdentity = found?.type.toLowerCase() === userAssignedIdentityTypeName.toLowerCase();
  const { principalId, clientId } = found?.properties ?? {};
  if (found !== undefined && isIdentity && typeof principalId === 'string' && typeof clientId === 'string')
    return [found.id, { principalId, clientId }];
  const before = kept.get(idKey(id));
  if (before !== undefined) return [...before];
  throw refuse('resourceInvalid', {
    message: `The managed identity '${id.slice(0, 300)}' does not exist. Make it with az identity create, or leave it out.`,
    target: 'identity.userAssignedIdentities',
  });
}

/** Makes the principal of a registry's own identity, or removes it, in the transaction that writes the registry. */
export async function changeRegistryIdentity(
  { ids }: { readonly ids: Ids },
  { tx, append }: Writing,
  { resource, previous }: Pick<Change, 'resource' | 'previous'>,
): Promise<void> {
  const uid = ownUid(resource);
  const before = previous && ownUid(previous);
  if (before !== undefined && before !== uid) await remove(tx, append, before, resource);
  if (uid === undefined) return;
  const { id: resourceId, name, tenantUid, changedBy, changedAtMicros: nowMicros } = resource;
  const identity = { uid, clientId: ids.guid(), name, resourceId, kind: 'systemAssigned' } as const;
  await writeManagedIdentity(tx, append, identity, { tenantUid, actor: changedBy.uid, nowMicros });
}

/** In the transaction that deletes the registry. */
export async function forgetRegistryIdentity({ tx, append }: Writing, resource: Resource): Promise<void> {
  const uid = ownUid(resource);
  if (uid !== undefined) await remove(tx, append, uid, resource);
}

async function remove(tx: Transaction, append: Append, uid: string, { tenantUid, changedBy }: Resource): Promise<void> {
  await removeManagedIdentity(tx, append, uid, { tenantUid, actor: changedBy.uid });
}

function ownUid({ identity }: Resource): string | undefined {
  const principalId = identity?.principalId;
  return typeof principalId === 'string' ? uidOfObjectId(principalId) : undefined;
}
