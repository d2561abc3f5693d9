import { sql } from 'kysely';
import type { Queries } from '../../platform/database/database.ts';
import { type ScrubProgress, scrubProgress } from './scrub.ts';

/** What is known of damage in the blob store. */
export type StoredDamage = {
  /** Blobs that are set aside: none of them is served. */
  readonly damagedBlobs: number;
  /** Undefined before the first walk. */
  readonly scrub: ScrubProgress | undefined;
};

export async function storedDamage(queries: Queries): Promise<StoredDamage> {
  const row = await queries
    .selectFrom('blobs')
    // Written out, or SQLite does not see that the index of such blobs is meant.
    .where(sql<boolean>`state = 'damaged'`)
    .select((select) => select.fn.countAll<number>().as('count'))
    .executeTakeFirst();
  return { damagedBlobs: row?.count ?? 0, scrub: await scrubProgress(queries) };
}
