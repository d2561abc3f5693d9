import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import type { Clock } from '../platform/clock.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import type { Ids } from '../platform/ids.ts';
import { makeFolder } from '../platform/make-folder.ts';
import { type BlobAccount, copyBlobs, namedBlobs, type Progress } from './copy-blobs.ts';
import type { RowSource } from './rows.ts';
import { openSqliteSink, openSqliteSource } from './sqlite-rows.ts';

/*
 * <folder>/
 * ├── snapshots/
 * │   ├── 2026-01-31T04-05-06Z.sqlite      the database at that moment; there once all its blobs are
 * │   └── 2026-02-01T04-05-06Z.unfinished  a backup that is under way, or was cut off
 * ├── blob-store/                          the blobs of all snapshots, unless they are kept elsewhere
 * ├── secrets/                             master key, certificate authority, bootstrap.json, where they were asked for
 * └── lock.sqlite                          held by the backup that is under way
 */

/** Paths in a folder of backups. */
export function backupPaths(folder: string) {
  return {
    snapshots: join(folder, 'snapshots'),
    blobs: join(folder, 'blob-store'),
    secrets: join(folder, 'secrets'),
    lock: join(folder, 'lock.sqlite'),
  };
}

export type BackupParts = {
  readonly folder: string;
  /** Opened by `backup` and not before: its moment is the backup's. */
  readonly openRows: () => Promise<RowSource>;
  readonly store: BlobStore;
  /** Where the backup's blobs are. */
  readonly backupStore: BlobStore;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly progress: Progress;
};

export type BackupAccount = {
  readonly snapshot: string;
  readonly rows: number;
  readonly blobs: BlobAccount;
};

/**
 * Takes a snapshot of the database, then copies the blobs it names that the backup does not have. Runs beside a server: blobs are
 * never changed, and those that the snapshot names stay until something removes them, which the account tells. Cut off anywhere,
 * the next run takes a new snapshot and goes on with the blobs.
 */
export async function backup(parts: BackupParts): Promise<BackupAccount> {
  const paths = backupPaths(parts.folder);
  makeFolder(paths.snapshots);
  const lock = lockFolder(paths.lock);
  try {
    for (const name of readdirSync(paths.snapshots))
      if (!name.endsWith(snapshotEnding)) rmSync(join(paths.snapshots, name));
    const moment = new Date(parts.clock.nowMicros() / 1000).toISOString().replaceAll(':', '-').replace(/\.\d+/, '');
    const unfinished = join(paths.snapshots, `${moment}.unfinished`);
    const rows = await takeSnapshot(parts, unfinished);
    const source = openSqliteSource(unfinished);
    try {
      const blobs = await copyBlobs(await namedBlobs(source), parts.store, parts.backupStore, parts.progress);
      return { snapshot: finish(unfinished, paths.snapshots, moment), rows, blobs };
    } finally {
      await source.close();
    }
  } finally {
    lock.close();
  }
}

const snapshotEnding = '.sqlite';

/** Names of the finished snapshots of a folder, oldest first. */
export function snapshotsOf(folder: string): string[] {
  return readdirSync(backupPaths(folder).snapshots)
    .filter((name) => name.endsWith(snapshotEnding))
    .map((name) => name.slice(0, -snapshotEnding.length))
    .sort();
}

export function snapshotFile(folder: string, name: string): string {
  return join(backupPaths(folder).snapshots, `${name}${snapshotEnding}`);
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

function finish(unfinished: string, folder: string, moment: string): string {
  renameSync(unfinished, join(folder, `${moment}${snapshotEnding}`));
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return moment;
}

/** Ends with the process, however it ends. */
function lockFolder(file: string): DatabaseSync {
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec('begin exclusive');
    return lock;
  } catch (cause) {
    lock.close();
    throw new Error('another backup is at work in this folder', { cause });
  }
}
