import type { Database, Transaction } from '../../platform/database/database.ts';
import { skuOf } from '../registries/registry-rules.ts';
import { skuLimits } from '../registries/sku-limits.ts';
import { refuse } from '../resources/refuse.ts';
import { idKey, type Resource } from '../resources/resource.ts';
import { findForShare } from '../resources/resource-store.ts';

/** The registry that a resource is in; it stays as it is until the transaction ends. */
export async function parentRegistry(kind: Database['kind'], tx: Transaction, child: Resource): Promise<Resource> {
  const registry = await findForShare(kind, tx, child.tenantUid, child.parentId);
  if (registry === undefined) throw new Error(`the registry of ${child.id} is missing while it is written`);
  return registry;
}

/**
 * Throws `quotaExceeded` when a resource that was just written is one too many for the SKU. The caller has raised the access
 * epoch, so that nobody else in the tenant adds one before the transaction ends.
 */
export async function refuseTooMany(tx: Transaction, registry: Resource, { type }: Resource): Promise<void> {
  const word = type.slice(type.lastIndexOf('/') + 1);
  const sku = skuOf(registry);
  const limit = skuLimits[sku].children[word.toLowerCase()];
  if (limit === undefined) return;
  const { count } = await tx
    .selectFrom('resources')
    .where('parent_key', '=', idKey(registry.id))
    .where('type_key', '=', idKey(type))
    .select((on) => on.fn.countAll<number | string>().as('count'))
    .executeTakeFirstOrThrow();
  if (Number(count) <= limit) return;
  throw refuse('quotaExceeded', {
    message: `Quota exceeded for resource type ${word} for the registry SKU ${sku}: it allows ${limit}. Delete some, or upgrade with az acr update --sku.`,
    target: type,
  });
}
