import { countChildren } from '../../features/registries/usage.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { lockRegistry } from '../../features/webhooks/webhook-store.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';

export type AttachedLimit = {
  readonly database: Pick<Database, 'kind'>;
  readonly registry: Resource;
  /** What is about to be made. */
  readonly resource: Pick<Resource, 'id' | 'type'>;
  readonly most: number;
};

/** One more of a type that is attached to a registry, whatever its SKU. Throws `quotaExceeded`. */
export async function refuseMoreAttached(
  tx: Transaction,
  { database, registry, resource: { id, type }, most }: AttachedLimit,
): Promise<void> {
  await lockRegistry(database.kind, tx, registry.uid);
  const word = type.slice(type.lastIndexOf('/') + 1);
  if (((await countChildren(tx, registry.id)).get(word.toLowerCase()) ?? 0) < most) return;
  throw refuse('quotaExceeded', { message: `A registry has ${most} ${word} at most. Delete one.`, target: id });
}
