import type { BackupLock, BackupPlace } from './backup-place.ts';
import { namedBlobs } from './copy-blobs.ts';
import { openSqliteSource } from './sqlite-rows.ts';

export type PruneAccount = { readonly snapshots: readonly string[]; readonly blobs: number; readonly bytes: number };

const batch = 500;

/**
 * Removes all but the newest `keep` snapshots, then the blobs that none of those names. Cut off
 * anywhere, the next run frees the rest. Throws when snapshots elsewhere may need the blobs, when the lock of the place is lost, and
 * when a restore is at work here.
 */
export async function pruneBackups(place: BackupPlace, keep: number, lock: BackupLock): Promise<PruneAccount> {
  const requireAlone = async () => {
    await lock.confirm();
    if (!(await place.isRead())) return;
    throw new Error('a restore is at work here: the backup is whole, but not all older ones were removed');
  };
  await place.requireUnshared();
  const names = await place.snapshots();
  const [old, kept] = [names.slice(0, -keep), names.slice(-keep)];
  await requireAlone();
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
  return { snapshots: old, ...(await removeUnnamed(place, named, requireAlone)) };
}

async function removeUnnamed(
  { blobs }: BackupPlace,
  named: ReadonlySet<string>,
  requireAlone: () => Promise<void>,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  let bytes = 0;
  const keys: string[] = [];
  await requireAlone();
  for await (const { key, handle, sizeBytes } of blobs.list('')) {
    // What a run that was cut off began: nobody else writes here.
    if (handle !== undefined) await blobs.abort(handle);
    else if (!named.has(key)) {
      keys.push(key);
      bytes += sizeBytes;
    }
  }
  for (let start = 0; start < keys.length; start += batch) {
    await requireAlone();
    await blobs.removeMany(keys.slice(start, start + batch));
  }
  return { blobs: keys.length, bytes };
}
