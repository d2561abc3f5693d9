import type { OfflineTask } from './cli/command.ts';
import { DataFolder } from './data-folder.ts';
import { type OpenedStore, openBlobStore } from './open-blob-store.ts';
import type { BlobAccount, Progress } from './operate/copy-blobs.ts';
import { openPostgresSink, openPostgresSource } from './operate/postgres-rows.ts';
import type { RowSink, RowSource } from './operate/rows.ts';
import { openSqliteSink, openSqliteSource } from './operate/sqlite-rows.ts';
import type { BlobStore } from './platform/blob-store/blob-store.ts';
import { openPostgres } from './platform/database/postgres-database.ts';
import { openSqlite } from './platform/database/sqlite-database.ts';
import { createFailpoints } from './platform/failpoints.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import type { Settings } from './settings.ts';

/** What a task tells people, and where its settings files are read. */
export type OfflineParts = {
  readonly settings: Settings;
  readonly print: (text: string) => void;
  readonly readFile: (path: string) => string;
};

export type TaskOf<Kind extends OfflineTask['kind']> = Extract<OfflineTask, { kind: Kind }>;

/** Opening a database brings its schema up to date. */
export async function migrated(settings: Settings): Promise<void> {
  const database =
    settings.database === undefined
      ? await openSqlite({ file: dataFolder(settings).database, clock, ids })
      : await openPostgres({ url: settings.database, poolSize: 1, clock, ids });
  await database.close();
}

export async function openRows(settings: Settings): Promise<RowSource> {
  return settings.database === undefined
    ? openSqliteSource(new DataFolder(settings.data).database)
    : await openPostgresSource(settings.database);
}

export async function openSink(settings: Settings): Promise<RowSink> {
  return settings.database === undefined
    ? openSqliteSink(new DataFolder(settings.data).database)
    : await openPostgresSink(settings.database);
}

export async function openStore(settings: Settings, opened: AsyncDisposableStack): Promise<BlobStore> {
  return (await openStoreOf(settings, opened)).store;
}

export async function openStoreOf(settings: Settings, opened: AsyncDisposableStack): Promise<OpenedStore> {
  // Nobody pulls from here, so nobody is sent elsewhere.
  const store = await openBlobStore(
    { ...settings, blobsRedirect: false },
    { clock, ids, failpoint: createFailpoints(undefined, clock) },
  );
  opened.defer(store.close);
  return store;
}

/** Nobody else may write to an embedded database meanwhile. Throws DataFolderInUse. */
export function lockIfEmbedded(settings: Settings, opened: AsyncDisposableStack): void {
  if (settings.database !== undefined) return;
  const lock = dataFolder(settings).lock();
  opened.defer(() => lock.release());
}

export function dataFolder(settings: Settings): DataFolder {
  const folder = new DataFolder(settings.data);
  folder.create();
  return folder;
}

export function tellBlobs(
  { named, copied, copiedBytes, present, missing, damaged }: BlobAccount,
  print: (text: string) => void,
) {
  print(`blobs: ${named} named, ${copied} copied (${copiedBytes} bytes) and checked, ${present} there already`);
  for (const { digest, key } of missing) print(`missing: ${digest} (${key})`);
  for (const { digest, key } of damaged) print(`damaged: ${digest} (${key})`);
  return missing.length === 0 && damaged.length === 0;
}

export function progressTo(print: (text: string) => void): Progress {
  return ({ blobs, of, bytes }) => print(`${blobs} of ${of} blobs, ${bytes} bytes`);
}
