import { chmod, copyFile, lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../platform/clock.ts';
import { openSqlite } from '../platform/database/sqlite-database.ts';
import type { Ids } from '../platform/ids.ts';
import type { RowSink, RowSource } from './rows.ts';
import { openSqliteSource } from './sqlite-rows.ts';

export type MigrationParts = { readonly clock: Clock; readonly ids: Ids };

const folderPrefixes = { backup: 'berth-backup-', restore: 'berth-restore-' } as const;
/** Whoever is at work in a folder says so each hour; one that said nothing for a day was killed. */
const freshenMs = 3_600_000;
const leftOverMs = 86_400_000;

/**
 * Calls `use` with a folder for copies of a whole database, and removes it; also those that earlier commands left which were killed.
 * In the system's folder for temporary files unless `parent` is given.
 */
export async function withSnapshotFolder<T>(
  kind: keyof typeof folderPrefixes,
  clock: Clock,
  use: (folder: string) => Promise<T>,
  parent = tmpdir(),
): Promise<T> {
  const folder = await mkdtemp(join(parent, folderPrefixes[kind]));
  const done = new AbortController();
  const freshening = keepFresh(clock, folder, done.signal);
  try {
    await removeLeftOver(folder, parent);
    return await use(folder);
  } finally {
    done.abort();
    await freshening;
    await rm(folder, { recursive: true, force: true });
  }
}

/** A file that comes and goes changes the folder's time, by the clock of its file system. */
async function keepFresh(clock: Clock, folder: string, signal: AbortSignal): Promise<void> {
  const sign = join(folder, 'in-use');
  while (!signal.aborted) {
    try {
      await clock.sleep(freshenMs, signal);
      await writeFile(sign, '');
      await rm(sign);
    } catch {
      // Done; or tried again in an hour.
    }
  }
}

/** Older by a day than `newest`, which was made just now. Those of other users stay, and whatever cannot be removed. */
async function removeLeftOver(newest: string, parent: string): Promise<void> {
  const { mtimeMs: nowMs } = await lstat(newest);
  const prefixes = Object.values(folderPrefixes);
  for (const name of await readdir(parent)) {
    if (!prefixes.some((prefix) => name.startsWith(prefix))) continue;
    const path = join(parent, name);
    try {
      const { mtimeMs, uid } = await lstat(path);
      if (uid !== process.getuid?.() || mtimeMs > nowMs - leftOverMs) continue;
      await rm(path, { recursive: true, force: true });
    } catch {
      // Removed by another command, or none of ours.
    }
  }
}

/**
 * Calls `use` on a snapshot as the program of `sink` would have made it: where an older one made it, on a copy whose schema was
 * brought up to date. The snapshot stays as it is. Throws when a newer program made it and did more than add to the schema.
 */
export async function withMigrated<T>(
  file: string,
  sink: Pick<RowSink, 'migrations'>,
  parts: MigrationParts,
  use: (rows: RowSource) => Promise<T>,
): Promise<T> {
  const rows = openSqliteSource(file);
  try {
    if (rows.migrations.join() === sink.migrations.join()) return await use(rows);
  } finally {
    await rows.close();
  }
  return await withSnapshotFolder('restore', parts.clock, async (folder) => {
    const copy = join(folder, 'snapshot.sqlite');
    await copyFile(file, copy);
    await chmod(copy, 0o600);
    await (await openSqlite({ file: copy, ...parts })).close();
    const migrated = openSqliteSource(copy);
    try {
      return await use(migrated);
    } finally {
      await migrated.close();
    }
  });
}
