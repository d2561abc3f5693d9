import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import { claimStore } from '../platform/blob-store/store-mark.ts';
import type { Clock } from '../platform/clock.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import type { Ids } from '../platform/ids.ts';
import type { BackupPlace } from './backup-place.ts';
import { type BlobAccount, copyBlobs, namedBlobs, type Progress } from './copy-blobs.ts';
import { installationOf } from './installation-row.ts';
import { type PruneAccount, pruneBackups } from './prune-backups.ts';
import type { RowSource } from './rows.ts';
import { openSqliteSink, openSqliteSource } from './sqlite-rows.ts';

export type BackupParts = {
  readonly place: BackupPlace;
  /** Opened by `backup` and not before: its moment is the backup's. */
  readonly openRows: () => Promise<RowSource>;
  readonly store: BlobStore;
  /** How many of the newest snapshots stay; all unless given. */
  readonly keep: number | undefined;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly progress: Progress;
};

export type BackupAccount = {
  readonly snapshot: string;
  readonly rows: number;
  readonly blobs: BlobAccount;
  readonly pruned: PruneAccount | undefined;
};

/**
 * Takes a snapshot of the database, then copies the blobs it names that the backup does not have. Runs beside a server: blobs are
 * never changed, and those that the snapshot names stay until something removes them, which the account tells. Cut off anywhere,
 * the next run takes a new snapshot and goes on with the blobs. Old backups are removed only after one that is whole.
 * Throws BackupUnderWay; when the place keeps the backups of another installation; when it stood still for so long that others may
 * have removed what it copied; with `keep`, when snapshots elsewhere may need the blobs of the place.
 */
export async function backup(parts: BackupParts): Promise<BackupAccount> {
  const { clock, keep, place } = parts;
  await using lock = await place.lock();
  const moment = new Date(clock.nowMicros() / 1000).toISOString().replaceAll(':', '-').replace(/\.\d+/, '');
  let rows = 0;
  const blobs = await place.add({
    moment,
    lock,
    write: async (file) => {
      rows = await takeSnapshot(parts, file);
    },
    use: (file) => copyNamed(parts, file),
  });
  const isWhole = blobs.missing.length === 0 && blobs.damaged.length === 0;
  const pruned = keep !== undefined && isWhole ? await pruneBackups(place, keep, lock) : undefined;
  return { snapshot: moment, rows, blobs, pruned };
}

async function copyNamed({ place, store, keep, progress }: BackupParts, file: string): Promise<BlobAccount> {
  const source = openSqliteSource(file);
  try {
    await claimStore(place.mark, `backup-of-${(await installationOf(source)) ?? 'none'}`);
    await place.claimBlobs();
    if (keep !== undefined) await place.requireUnshared();
    return await copyBlobs(await namedBlobs(source), store, place.blobs, progress);
  } finally {
    await source.close();
  }
}

async function takeSnapshot({ openRows, clock, ids }: BackupParts, file: string): Promise<number> {
  const source = await openRows();
  try {
    await (await openSqlite({ file, clock, ids })).close();
    const sink = openSqliteSink(file);
    try {
      const counts = await sink.replaceAll(source, async () => {});
      sink.toOneFile();
      return [...counts.values()].reduce((total, count) => total + count, 0);
    } finally {
      await sink.close();
    }
  } finally {
    await source.close();
  }
}
