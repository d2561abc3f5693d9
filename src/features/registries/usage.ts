import type { Queries } from '../../platform/database/database.ts';

/** Bytes that a registry has in use: its manifests, and once each blob that one of them references. */
export async function storedBytes(queries: Queries, registryUid: string): Promise<number> {
  const row = await queries
    .selectFrom('registry_usage')
    .where('registry_uid', '=', registryUid)
    .select('bytes')
    .executeTakeFirst();
  return row?.bytes ?? 0;
}

/** Bytes that it may have in use in place of what its SKU may; null where nothing was set. */
export async function ownStorageLimit(queries: Queries, registryUid: string): Promise<number | null> {
  const row = await queries
    .selectFrom('registries')
    .where('uid', '=', registryUid)
    .select('storage_limit')
    .executeTakeFirst();
  return row?.storage_limit ?? null;
}

/** Children of a registry by the last word of their type, in lower case. */
export async function countChildren(queries: Queries, registryId: string): Promise<ReadonlyMap<string, number>> {
  const rows = await queries
    .selectFrom('resources')
    .where('parent_key', '=', registryId.toLowerCase())
    .groupBy('type_key')
    .select((on) => ['type_key', on.fn.countAll<number | string>().as('count')])
    .execute();
  return new Map(rows.map((row) => [row.type_key.slice(row.type_key.lastIndexOf('/') + 1), Number(row.count)]));
}
