import type { Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Append } from '../../platform/journal/journal.ts';
import { removeManagedIdentity, writeManagedIdentity } from '../identity/managed-identities.ts';
import { uidOfObjectId } from '../identity/object-id.ts';
import type { Resource } from '../resources/resource.ts';
import type { Change, Writing } from '../resources/resource-type.ts';

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
