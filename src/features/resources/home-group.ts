import type { Clock } from '../../platform/clock.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Append } from '../../platform/journal/journal.ts';
import type { Author, Resource } from './resource.ts';
import { tellResource } from './resource-events.ts';
import { groupResourceName, homeGroupName } from './resource-names.ts';
import { findResource, insertResource } from './resource-store.ts';
import { refuseLeaving } from './resources.ts';
import { firstSubscription } from './subscription-store.ts';

/** Location of what is made without naming one. */
export const homeLocation = 'local';

/** The group of resources that are made without naming one; made when it is not there. Throws `resourceLeaving`. */
export async function homeGroup(
  { clock, ids }: { readonly clock: Clock; readonly ids: Ids },
  tx: Transaction,
  append: Append,
  { tenantUid, author }: { readonly tenantUid: string; readonly author: Author },
): Promise<Resource> {
  const nowMicros = clock.nowMicros();
  const subscriptionId = await firstSubscription(tx, tenantUid, { subscriptionId: ids.guid(), nowMicros });
  const name = groupResourceName(subscriptionId, homeGroupName);
  const existing = await findResource(tx, tenantUid, name.id);
  if (existing !== undefined) {
    refuseLeaving(existing);
    return existing;
  }
  const group: Resource = {
    ...name,
    uid: ids.uid(),
    tenantUid,
    location: homeLocation,
    tags: {},
    sku: undefined,
    identity: undefined,
    properties: {},
    state: 'Succeeded',
    etag: ids.guid(),
    createdAtMicros: nowMicros,
    createdBy: author,
    changedAtMicros: nowMicros,
    changedBy: author,
  };
  if (await insertResource(tx, group)) tellResource(append, 'resource.created', group);
  return group;
}
