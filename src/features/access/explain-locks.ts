import { BerthError } from '../../core/errors.ts';
import type { Queries } from '../../platform/database/database.ts';
import { refuseLocked } from '../resources/locks.ts';
import type { ResourceName } from '../resources/resource.ts';

/**
 * The sentence with which a lock of a resource, or of what it is in, refuses an operation at that scope; undefined where none
 * does. Of operations that are neither `write` nor `delete` the resource type knows whether they change something.
 */
export async function refusingLock(
  queries: Queries,
  tenantUid: string,
  operation: string,
  scope: string,
): Promise<string | undefined> {
  const slash = operation.lastIndexOf('/');
  const verb = operation.slice(slash + 1).toLowerCase();
  const at = nameOf(scope, operation.slice(0, slash));
  if ((verb !== 'write' && verb !== 'delete') || at === undefined) return undefined;
  try {
    await refuseLocked(queries, tenantUid, at, verb);
    return undefined;
  } catch (error) {
    if (error instanceof BerthError && error.error === 'scopeLocked') return messageOf(error);
    throw error;
  }
}

function nameOf(scope: string, type: string): ResourceName | undefined {
  const [id = '', subscriptionId, groupName] =
    /^\/subscriptions\/([^/]+)(?:\/resourceGroups\/([^/]+).*)?$/i.exec(scope) ?? [];
  if (subscriptionId === undefined) return undefined;
  const name = id.slice(id.lastIndexOf('/') + 1);
  return { id, parentId: id.slice(0, -name.length - 1), subscriptionId, groupName, type, name };
}

function messageOf({ detail }: BerthError): string {
  const isSpoken = typeof detail === 'object' && detail !== null && 'message' in detail;
  return isSpoken ? String(detail.message) : 'a lock is on the scope';
}
