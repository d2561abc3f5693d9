import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeFolder } from '../platform/make-folder.ts';
import { type BackupLock, type BackupPlace, BackupUnderWay } from './backup-place.ts';
import { areOwnBlobs, ownBlobs, requireUnshared, shareBlobs } from './shared-blobs.ts';
import type { StoreBackupParts } from './store-backups.ts';
import { isStoreRead, lockStore, readStore } from './store-lease.ts';

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

const snapshotEnding = '.sqlite';

/** Backups in a folder; with `isShared` their blobs are in a store that other snapshots may use too. */
export function folderBackups(folder: string, parts: StoreBackupParts & { readonly isShared: boolean }): BackupPlace {
  const { store: blobs, mark, notes, isShared } = parts;
  const paths = backupPaths(folder);
  const fileOf = (name: string) => join(paths.snapshots, `${name}${snapshotEnding}`);
  return {
    blobs,
    mark,
    lock: async () => {
      makeFolder(paths.snapshots);
      const own = lockFile(paths.lock);
      for (const name of readdirSync(paths.snapshots))
        if (!name.endsWith(snapshotEnding)) rmSync(join(paths.snapshots, name));
      if (!isShared) return { confirm: async () => {}, [Symbol.asyncDispose]: async () => own.close() };
      try {
        return endingWith(await lockStore(parts), () => own.close());
      } catch (error) {
        own.close();
        throw error;
      }
    },
    read: () => readStore(parts),
    isRead: () => isStoreRead(parts),
    claimBlobs: async () => {
      if (isShared) await shareBlobs(notes, folder);
      else if (!(await areOwnBlobs(notes))) await ownBlobs(notes);
    },
    requireUnshared: () => requireUnshared(notes),
    snapshots: async () => (existsSync(paths.snapshots) ? snapshotsIn(paths.snapshots) : []),
    add: async ({ moment, lock, write, use }) => {
      const unfinished = join(paths.snapshots, `${moment}.unfinished`);
      await write(unfinished);
      const result = await use(unfinished);
      await lock.confirm();
      renameSync(unfinished, fileOf(moment));
      syncFolder(paths.snapshots);
      return result;
    },
    open: async (name, use) => {
      if (!existsSync(fileOf(name))) throw new Error(`there is no snapshot ${name} in ${folder}`);
      return await use(fileOf(name));
    },
    ownKeys: async () => [],
    remove: async (names) => {
      for (const name of names) rmSync(fileOf(name), { force: true });
      syncFolder(paths.snapshots);
    },
  };
}

function snapshotsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(snapshotEnding))
    .map((name) => name.slice(0, -snapshotEnding.length))
    .sort();
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function endingWith(lock: BackupLock, end: () => void): BackupLock {
  return {
    confirm: lock.confirm,
    [Symbol.asyncDispose]: async () => {
      try {
        await lock[Symbol.asyncDispose]();
      } finally {
        end();
      }
    },
  };
}

/** Ends with the process, however it ends. */
function lockFile(file: string): DatabaseSync {
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec('begin exclusive');
    return lock;
  } catch (cause) {
    lock.close();
    throw new BackupUnderWay(cause);
  }
}
