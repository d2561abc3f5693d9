import type { BackupPlace } from './backup-place.ts';
import { namedBlobs } from './copy-blobs.ts';
import { openSqliteSource } from './sqlite-rows.ts';

export type PruneAccount = { readonly snapshots: readonly string[]; readonly blobs: number; readonly bytes: number };

const batch = 500;

/**
 * Removes all but the newest `keep` snapshots, then the blobs that none of those names. Only under the lock of the place. Cut off
 * anywhere, the next run frees the rest.
 */
export async function pruneBackups(place: BackupPlace, keep: number): Promise<PruneAccount> {
  const names = await place.snapshots();
  const [old, kept] = [names.slice(0, -keep), names.slice(-keep)];
  await place.remove(old);
  const named = new Set(await place.ownKeys());
  for (const name of kept) {
    await place.open(name, async (file) => {
      const source = openSqliteSource(file);
      try {
        for (const { key } of await namedBlobs(source)) named.add(key);
      } finally {
        await source.close();
      }
    });
  }
  return { snapshots: old, ...(await removeUnnamed(place, named)) };
}

async function removeUnnamed(
  { blobs }: BackupPlace,
  named: ReadonlySet<string>,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  let bytes = 0;
  const keys: string[] = [];
  for await (const { key, handle, sizeBytes } of blobs.list('')) {
    // What a run that was cut off began: nobody else writes here.
    if (handle !== undefined) await blobs.abort(handle);
    else if (!named.has(key)) {
      keys.push(key);
      bytes += sizeBytes;
    }
  }
  for (let start = 0; start < keys.length; start += batch) await blobs.removeMany(keys.slice(start, start + batch));
  return { blobs: keys.length, bytes };
}
