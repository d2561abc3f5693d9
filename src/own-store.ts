import type { BlobStore } from './platform/blob-store/blob-store.ts';
import { isClaimed, type StoreMark } from './platform/blob-store/store-mark.ts';
import type { Database } from './platform/database/database.ts';
import type { Log } from './platform/log.ts';

export type OwnStoreParts = {
  readonly database: Database;
  readonly store: BlobStore;
  readonly mark: StoreMark;
  readonly tenantUid: string;
  readonly log: Pick<Log, 'warn'>;
  /** That the blobs which the database names are lost is known: the setting `blobs-gone`. */
  readonly areBlobsGone: boolean;
};

/** Of the blobs that the database names so many are looked for: a store that was copied without its mark has them. */
const sampleSize = 16;

/**
 * Claims the blob store for the installation. Throws when it is another's; and when it is nobody's, the database names blobs, and
 * none of a sample of them is there: that is where a disk is not mounted, and to go on would hide it and take every blob for lost.
 */
export async function claimOwnStore({ mark, tenantUid, log, areBlobsGone, ...parts }: OwnStoreParts): Promise<void> {
  if (await isClaimed(mark, tenantUid)) {
    if (areBlobsGone)
      log.warn(
        'blobs-gone is on, and was meant for one start: with it nobody is told of a store that is not mounted',
        {},
      );
    return;
  }
  if (!areBlobsGone && (await areBlobsElsewhere(parts)))
    throw new Error(
      'the blob store is empty and nobody has claimed it, but the database names blobs in it: is it the right one (--blobs), ' +
        'and mounted? If its blobs are lost, --blobs-gone on starts without them; `berth fsck --repair --force` then sets them aside',
    );
  await mark.write(tenantUid);
}

async function areBlobsElsewhere({ database, store }: Pick<OwnStoreParts, 'database' | 'store'>): Promise<boolean> {
  const rows = await database.read
    .selectFrom('blobs')
    .where('state', '=', 'ready')
    .select('storage_key as key')
    .limit(sampleSize)
    .execute();
  for (const { key } of rows) if (await isThere(store, key)) return false;
  return rows.length > 0;
}

async function isThere(store: BlobStore, key: string): Promise<boolean> {
  for await (const entry of store.list(key)) if (entry.key === key && entry.handle === undefined) return true;
  return false;
}
