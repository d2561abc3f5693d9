import { copyFileSync, cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { OfflineTask } from './cli/command.ts';
import { DataFolder } from './data-folder.ts';
import { defaultRegistryName } from './installation.ts';
import { loadSettings } from './load-settings.ts';
import { type OpenedStore, openBlobStore } from './open-blob-store.ts';
import { openUnclaimed } from './open-data.ts';
import { backup, backupPaths, snapshotFile, snapshotsOf } from './operate/backup.ts';
import type { BlobAccount, Progress } from './operate/copy-blobs.ts';
import { move } from './operate/move.ts';
import { openPostgresSink, openPostgresSource } from './operate/postgres-rows.ts';
import { rebuild, requireInventory } from './operate/rebuild/rebuild.ts';
import { isComplete, rebuildReport } from './operate/rebuild/rebuild-report.ts';
import { restore } from './operate/restore.ts';
import type { RowSink, RowSource } from './operate/rows.ts';
import { openSqliteSink, openSqliteSource } from './operate/sqlite-rows.ts';
import type { BlobStore } from './platform/blob-store/blob-store.ts';
import { parseStoreAddress } from './platform/blob-store/store-address.ts';
import { openPostgres } from './platform/database/postgres-database.ts';
import { openSqlite } from './platform/database/sqlite-database.ts';
import { createFailpoints } from './platform/failpoints.ts';
import { createLineSink } from './platform/line-sink.ts';
import { createLog } from './platform/log.ts';
import { makeFolder } from './platform/make-folder.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import type { Settings } from './settings.ts';

/** What a task tells people, and where its settings files are read. */
export type OfflineParts = {
  readonly settings: Settings;
  readonly print: (text: string) => void;
  readonly readFile: (path: string) => string;
};

/** Work on the data itself, without a server. Resolves to whether all of it was done; throws what kept it from beginning or ending. */
export async function runOfflineTask(task: OfflineTask, parts: OfflineParts): Promise<boolean> {
  await using opened = new AsyncDisposableStack();
  switch (task.kind) {
    case 'migrateDatabase':
      return await runMigration(parts, opened);
    case 'backup':
      return await runBackup(task, parts, opened);
    case 'restore':
      return await runRestore(task, parts, opened);
    case 'move':
      return await runMove(task, parts, opened);
    case 'rebuild':
      return await runRebuild(parts, opened);
  }
}

type TaskOf<Kind extends OfflineTask['kind']> = Extract<OfflineTask, { kind: Kind }>;

async function runMigration({ settings, print }: OfflineParts, opened: AsyncDisposableStack): Promise<boolean> {
  lockIfEmbedded(settings, opened);
  await migrated(settings);
  const rows = await openRows(settings);
  opened.defer(() => rows.close());
  print(`the schema is up to date: ${rows.migrations.at(-1)}`);
  return true;
}

async function runBackup(
  task: TaskOf<'backup'>,
  { settings, print }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  const store = openStore(settings, opened);
  const blobs = task.blobs === undefined ? backupPaths(task.folder).blobs : task.blobs;
  const backupStore = openStore({ ...settings, blobs: parseStoreAddress(blobs) }, opened);
  const account = await backup({
    folder: task.folder,
    openRows: () => openRows(settings),
    store,
    backupStore,
    clock,
    ids,
    progress: progressTo(print),
  });
  if (task.withSecrets) copySecrets(settings, backupPaths(task.folder).secrets);
  print(`snapshot ${account.snapshot}: ${account.rows} rows`);
  return tellBlobs(account.blobs, print);
}

async function runRestore(
  task: TaskOf<'restore'>,
  { settings, print }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  const name = task.snapshot ?? snapshotsOf(task.folder).at(-1);
  if (name === undefined) throw new Error(`${task.folder} holds no finished snapshot`);
  lockIfEmbedded(settings, opened);
  takeSecrets(settings, backupPaths(task.folder).secrets);
  await migrated(settings);
  const snapshot = snapshotFile(task.folder, name);
  if (!existsSync(snapshot)) throw new Error(`there is no snapshot ${name} in ${task.folder}`);
  const rows = openSqliteSource(snapshot);
  opened.defer(() => rows.close());
  const present = await openRows(settings);
  opened.defer(() => present.close());
  const sink = await openSink(settings);
  opened.defer(() => sink.close());
  const blobs = parseStoreAddress(task.blobs ?? backupPaths(task.folder).blobs);
  const account = await restore({
    rows,
    backupStore: openStore({ ...settings, blobs }, opened),
    present,
    sink,
    store: openStore(settings, opened),
    ids,
    progress: progressTo(print),
  });
  print(`restored ${name}: ${account.rows} rows`);
  return tellBlobs(account.blobs, print);
}

async function runMove(
  task: TaskOf<'move'>,
  { print, readFile }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  const [source, target] = [task.from, task.to].map((config) => {
    return loadSettings({ flags: { config }, environment: {}, readFile }).settings;
  });
  if (source === undefined || target === undefined) throw new Error('a move needs two settings files');
  lockIfEmbedded(target, opened);
  await migrated(target);
  const sink = await openSink(target);
  opened.defer(() => sink.close());
  const account = await move({
    openSource: () => openRows(source),
    openTarget: () => openRows(target),
    sink,
    from: openStore(source, opened),
    to: openStore(target, opened),
    progress: progressTo(print),
  });
  for (const [table, count] of account.rowsByTable) if (count > 0) print(`${table}: ${count} rows`);
  const isWhole = tellBlobs(account.blobs, print);
  if (account.changedSince.length === 0) return isWhole;
  print(
    `the source has changed since (${account.changedSince.length} streams): stop it, then run the same command again`,
  );
  return false;
}

async function runRebuild({ settings, print }: OfflineParts, opened: AsyncDisposableStack): Promise<boolean> {
  const log = createLog({ sink: createLineSink(process.stderr), format: 'pretty', level: 'warn' });
  // First, so that a wrong address makes no installation.
  await requireInventory(openStoreOf(settings, opened).notes);
  const data = await openUnclaimed(settings, { log, opened, role: 'alone', link: undefined, failpoints: undefined });
  const account = await rebuild({
    ...data,
    ...data.installation,
    defaultRegistryName,
    progress: ({ blobs, bytes }) => print(`read ${blobs} blobs, ${bytes} bytes`),
  });
  for (const line of rebuildReport(account)) print(line);
  return isComplete(account);
}

/** Opening a database brings its schema up to date. */
async function migrated(settings: Settings): Promise<void> {
  const database =
    settings.database === undefined
      ? await openSqlite({ file: dataFolder(settings).database, clock, ids })
      : await openPostgres({ url: settings.database, poolSize: 1, clock, ids });
  await database.close();
}

async function openRows(settings: Settings): Promise<RowSource> {
  return settings.database === undefined
    ? openSqliteSource(new DataFolder(settings.data).database)
    : await openPostgresSource(settings.database);
}

async function openSink(settings: Settings): Promise<RowSink> {
  return settings.database === undefined
    ? openSqliteSink(new DataFolder(settings.data).database)
    : await openPostgresSink(settings.database);
}

function openStore(settings: Settings, opened: AsyncDisposableStack): BlobStore {
  return openStoreOf(settings, opened).store;
}

function openStoreOf(settings: Settings, opened: AsyncDisposableStack): OpenedStore {
  // Nobody pulls from here, so nobody is sent elsewhere.
  const store = openBlobStore(
    { ...settings, blobsRedirect: false },
    { clock, ids, failpoint: createFailpoints(undefined, clock) },
  );
  opened.defer(store.close);
  return store;
}

/** Nobody else may write to an embedded database meanwhile. Throws DataFolderInUse. */
function lockIfEmbedded(settings: Settings, opened: AsyncDisposableStack): void {
  if (settings.database !== undefined) return;
  const lock = dataFolder(settings).lock();
  opened.defer(() => lock.release());
}

function dataFolder(settings: Settings): DataFolder {
  const folder = new DataFolder(settings.data);
  folder.create();
  return folder;
}

const secretFiles = (folder: DataFolder) => [folder.masterKey, folder.bootstrap];

function copySecrets(settings: Settings, to: string): void {
  const folder = new DataFolder(settings.data);
  makeFolder(to);
  for (const file of secretFiles(folder))
    if (existsSync(file)) copyFileSync(file, join(to, file.slice(folder.path.length + 1)));
  if (existsSync(folder.certificates)) cpSync(folder.certificates, join(to, 'certificates'), { recursive: true });
}

/** Without its master key an installation cannot open what it has sealed. */
function takeSecrets(settings: Settings, from: string): void {
  const folder = dataFolder(settings);
  for (const file of secretFiles(folder)) {
    const saved = join(from, file.slice(folder.path.length + 1));
    if (!existsSync(file) && existsSync(saved)) copyFileSync(saved, file);
  }
  if (existsSync(join(from, 'certificates')))
    cpSync(join(from, 'certificates'), folder.certificates, { recursive: true, force: false });
  const { masterKey, masterKeyFile } = settings;
  if (masterKey === undefined && masterKeyFile === undefined && !existsSync(folder.masterKey))
    throw new Error(
      `the master key of the installation is needed: put its file at ${folder.masterKey}, or give --master-key-file`,
    );
}

function tellBlobs(
  { named, copied, copiedBytes, present, missing, damaged }: BlobAccount,
  print: (text: string) => void,
) {
  print(`blobs: ${named} named, ${copied} copied (${copiedBytes} bytes) and checked, ${present} there already`);
  for (const { digest, key } of missing) print(`missing: ${digest} (${key})`);
  for (const { digest, key } of damaged) print(`damaged: ${digest} (${key})`);
  return missing.length === 0 && damaged.length === 0;
}

function progressTo(print: (text: string) => void): Progress {
  return ({ blobs, of, bytes }) => print(`${blobs} of ${of} blobs, ${bytes} bytes`);
}
