import { copyFileSync, cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataFolder } from './data-folder.ts';
import {
  dataFolder,
  lockIfEmbedded,
  migrated,
  type OfflineParts,
  openRows,
  openSink,
  openStore,
  openStoreOf,
  progressTo,
  type TaskOf,
  tellBlobs,
} from './offline-parts.ts';
import { backup } from './operate/backup.ts';
import type { BackupPlace } from './operate/backup-place.ts';
import { backupPaths, folderBackups } from './operate/folder-backups.ts';
import { withMigrated } from './operate/migrated-snapshot.ts';
import { restore } from './operate/restore.ts';
import { storeBackups } from './operate/store-backups.ts';
import { parseStoreAddress } from './platform/blob-store/store-address.ts';
import { makeFolder } from './platform/make-folder.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import type { Settings } from './settings.ts';

export async function runBackup(
  task: TaskOf<'backup'>,
  { settings, print }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  const { keep, to, withSecrets } = task;
  if (keep !== undefined && task.blobs !== undefined)
    throw new Error(
      '--keep removes blobs that no snapshot here names; with --to-blobs others may need them: leave one out',
    );
  if (withSecrets && isObjectStore(to))
    throw new Error(
      '--with-secrets is for a folder: keep master.key, certificates and bootstrap.json apart from the store',
    );
  const account = await backup({
    place: await openPlace(settings, { place: to, blobs: task.blobs }, opened),
    openRows: () => openRows(settings),
    store: await openStore(settings, opened),
    keep,
    clock,
    ids,
    progress: progressTo(print),
  });
  if (withSecrets) copySecrets(settings, backupPaths(to).secrets);
  print(`snapshot ${account.snapshot}: ${account.rows} rows`);
  if (account.pruned !== undefined) {
    const { snapshots, blobs, bytes } = account.pruned;
    print(`removed ${snapshots.length} older snapshots, and ${blobs} blobs (${bytes} bytes) that no other names`);
  }
  return tellBlobs(account.blobs, print);
}

export async function runRestore(
  task: TaskOf<'restore'>,
  { settings, print }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  const place = await openPlace(settings, { place: task.from, blobs: task.blobs }, opened);
  // A wrong place is left as it is.
  await snapshotNamed(place, task);
  await readPlace(place, print, opened);
  // Again: what a backup removed before it could see the note is not there any more.
  const name = await snapshotNamed(place, task);
  lockIfEmbedded(settings, opened);
  takeSecrets(settings, isObjectStore(task.from) ? undefined : backupPaths(task.from).secrets);
  await migrated(settings);
  const sink = await openSink(settings);
  opened.defer(() => sink.close());
  const store = await openStore(settings, opened);
  const account = await place.open(name, (file) =>
    withMigrated(file, sink, { clock, ids }, (rows) =>
      restore({
        rows,
        backupStore: place.blobs,
        openPresent: () => openRows(settings),
        sink,
        store,
        ids,
        progress: progressTo(print),
      }),
    ),
  );
  print(`restored ${name}: ${account.rows} rows`);
  return tellBlobs(account.blobs, print);
}

/** A place that cannot be written is read all the same. */
async function readPlace(place: BackupPlace, print: OfflineParts['print'], opened: AsyncDisposableStack) {
  try {
    opened.use(await place.read());
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    print(`no note of this restore could be left (${reason}): let no backup with --keep run there meanwhile`);
  }
}

async function snapshotNamed(place: BackupPlace, { from, snapshot }: TaskOf<'restore'>): Promise<string> {
  const names = await place.snapshots();
  const name = snapshot ?? names.at(-1);
  if (name === undefined) throw new Error(`${from} holds no finished snapshot`);
  if (!names.includes(name)) throw new Error(`there is no snapshot ${name} in ${from}; there are: ${names.join(', ')}`);
  return name;
}

function isObjectStore(place: string): boolean {
  return parseStoreAddress(place).kind !== 'folder';
}

/** Where backups are: a folder, with its blobs in it or elsewhere, or an object store. */
async function openPlace(
  settings: Settings,
  { place, blobs }: { readonly place: string; readonly blobs: string | undefined },
  opened: AsyncDisposableStack,
): Promise<BackupPlace> {
  const isStore = isObjectStore(place);
  if (isStore && blobs !== undefined) throw new Error('an object store holds the blobs of its backups itself');
  const address = parseStoreAddress(isStore ? place : (blobs ?? backupPaths(place).blobs));
  const { backupKeyId = settings.blobsKeyId, backupKey = settings.blobsKey } = settings;
  const { store, mark, notes } = await openStoreOf(
    { ...settings, blobs: address, blobsKeyId: backupKeyId, blobsKey: backupKey },
    opened,
  );
  const parts = { store, mark, notes, clock, ids };
  return isStore ? storeBackups(parts) : folderBackups(place, { ...parts, isShared: blobs !== undefined });
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
function takeSecrets(settings: Settings, from: string | undefined): void {
  const folder = dataFolder(settings);
  if (from !== undefined) copyBack(folder, from);
  const { masterKey, masterKeyFile } = settings;
  if (masterKey === undefined && masterKeyFile === undefined && !existsSync(folder.masterKey))
    throw new Error(
      `the master key of the installation is needed: put its file at ${folder.masterKey}, or give --master-key-file`,
    );
}

/** What is there stays. */
function copyBack(folder: DataFolder, from: string): void {
  for (const file of secretFiles(folder)) {
    const saved = join(from, file.slice(folder.path.length + 1));
    if (!existsSync(file) && existsSync(saved)) copyFileSync(saved, file);
  }
  if (existsSync(join(from, 'certificates')))
    cpSync(join(from, 'certificates'), folder.certificates, { recursive: true, force: false });
}
