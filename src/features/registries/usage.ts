import { sql } from 'kysely';
import type { Queries } from '../../platform/database/database.ts';

/** Bytes that a registry keeps: each blob once, and its manifests. */
export async function storedBytes(queries: Queries, registryUid: string): Promise<number> {
  const blobs = await queries
    .selectFrom('blobs')
    .where('registry_uid', '=', registryUid)
    .select(sql<number>`coalesce(sum(stored_size), 0)`.as('bytes'))
    .executeTakeFirstOrThrow();
  const manifests = await queries
    .selectFrom('repositories as r')
    .innerJoin('manifests as m', 'm.repository_uid', 'r.uid')
    .where('r.registry_uid', '=', registryUid)
    .select(sql<number>`coalesce(sum(m.size), 0)`.as('bytes'))
    .executeTakeFirstOrThrow();
  // PostgreSQL sums 64-bit integers into a numeric, which arrives as text.
  return Number(blobs.bytes) + Number(manifests.bytes);
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
