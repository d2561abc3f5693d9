import type { Queries } from '../../platform/database/database.ts';
import { refuse } from './refuse.ts';
import { idKey, type Resource, type ResourceName } from './resource.ts';
import { lockType, scopesOf } from './resource-names.ts';
import { listOfTypeBelow, listResources } from './resource-store.ts';

/** `CanNotDelete` keeps resources from being deleted, `ReadOnly` from any change. Source: Azure Resource Manager, "Lock types". */
export const lockLevels = ['CanNotDelete', 'ReadOnly'] as const;

/** Locks of one group that are looked at. */
const maxLocks = 10_000;

/**
 * Throws `scopeLocked` when a lock on the resource or above it forbids the action; for a deletion also when one hangs on
 * something inside. Locks themselves are not kept by locks.
 */
export async function refuseLocked(
  queries: Queries,
  tenantUid: string,
  name: ResourceName,
  action: 'write' | 'delete',
): Promise<void> {
  if (idKey(name.type) === idKey(lockType)) return;
  const above = await listOfTypeBelow(queries, tenantUid, scopesOf(name), lockType);
  const inside = action === 'delete' ? await locksInside(queries, tenantUid, name) : [];
  const holding = [...above, ...inside].filter((lock) => action === 'delete' || lock.properties.level === 'ReadOnly');
  if (holding.length === 0) return;
  const locks = [...new Set(holding.map((lock) => lock.id))];
  throw refuse('scopeLocked', {
    message:
      `The scope '${name.id}' cannot perform ${action} operation because the following scope(s) are locked: ` +
      `'${locks.map((id) => id.slice(0, id.toLowerCase().lastIndexOf('/providers/microsoft.authorization/'))).join("', '")}'. ` +
      `Please remove the lock (${locks.map((id) => id.slice(id.lastIndexOf('/') + 1)).join(', ')}) and try again.`,
    target: name.id,
  });
}

/** Locks on the resource or anything in it, a group's members included. */
async function locksInside(queries: Queries, tenantUid: string, name: ResourceName): Promise<Resource[]> {
  const { subscriptionId, groupName } = name;
  if (groupName === undefined) return [];
  const locks = await listResources(queries, { tenantUid, subscriptionId, groupName, type: lockType, limit: maxLocks });
  return locks.filter((lock) => isWithin(lock.parentId, name.id));
}

function isWithin(id: string, scope: string): boolean {
  return idKey(id) === idKey(scope) || idKey(id).startsWith(`${idKey(scope)}/`);
}
