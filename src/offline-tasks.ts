import type { OfflineTask } from './cli/command.ts';
import { copyAnchors } from './features/insight/anchor-notes.ts';
import { defaultRegistryName } from './installation.ts';
import { loadSettings } from './load-settings.ts';
import { runBackup, runRestore } from './offline-backups.ts';
import { runFsck } from './offline-fsck.ts';
import {
  lockIfEmbedded,
  migrated,
  type OfflineParts,
  openRows,
  openSink,
  openStoreOf,
  progressTo,
  type TaskOf,
  tellBlobs,
} from './offline-parts.ts';
import { openUnclaimed } from './open-data.ts';
import { move } from './operate/move.ts';
import { rebuild, requireInventory } from './operate/rebuild/rebuild.ts';
import { isComplete, rebuildReport } from './operate/rebuild/rebuild-report.ts';
import { createLineSink } from './platform/line-sink.ts';
import { createLog } from './platform/log.ts';

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
    case 'fsck':
      return await runFsck(task, parts, opened);
    case 'rebuild':
      return await runRebuild(parts, opened);
  }
}

async function runMigration({ settings, print }: OfflineParts, opened: AsyncDisposableStack): Promise<boolean> {
  lockIfEmbedded(settings, opened);
  await migrated(settings);
  const rows = await openRows(settings);
  opened.defer(() => rows.close());
  print(`the schema is up to date: ${rows.migrations.at(-1)}`);
  return true;
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
  const from = await openStoreOf(source, opened);
  const to = await openStoreOf(target, opened);
  const account = await move({
    openSource: () => openRows(source),
    openTarget: () => openRows(target),
    sink,
    from: from.store,
    to: to.store,
    takeAlong: () => copyAnchors(from.notes, to.notes),
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
  await requireInventory((await openStoreOf(settings, opened)).notes);
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
