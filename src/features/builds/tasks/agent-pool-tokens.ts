import type { Database } from '../../../platform/database/database.ts';
import { tenantStreamOf } from '../../../platform/journal/journal.ts';
import { parentRegistry } from '../../access/registry-children.ts';
import type { Resource } from '../../resources/resource.ts';
import type { Writing } from '../../resources/resource-type.ts';

/** In the transaction that deletes a pool: its tokens end, or they would open the next pool of that name. */
export async function forgetAgentPool(
  { kind }: Pick<Database, 'kind'>,
  { tx, append }: Writing,
  resource: Resource,
): Promise<void> {
  const registry = await parentRegistry(kind, tx, resource);
  const ended = await tx
    .deleteFrom('agent_tokens')
    .where('registry_uid', '=', registry.uid)
    .where('pool_key', '=', resource.name.toLowerCase())
    .returning('uid')
    .execute();
  const { uid: actor } = resource.changedBy;
  const stream = tenantStreamOf(resource.tenantUid);
  for (const { uid } of ended) append({ stream, type: 'agentToken.removed', version: 1, actor, data: { uid } });
}
