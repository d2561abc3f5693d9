import { DatabaseSync } from 'node:sqlite';
import { DataFolder } from './data-folder.ts';
import { lockIfEmbedded, type OfflineParts, openRows, openStoreOf, type TaskOf } from './offline-parts.ts';
import { type CheckAccount, check } from './operate/fsck/check.ts';
import { type Finding, findingText, isRepairable } from './operate/fsck/finding.ts';
import { readRows } from './operate/fsck/read-rows.ts';
import { repair } from './operate/fsck/repair.ts';
import { isClaimed, type StoreMark } from './platform/blob-store/store-mark.ts';
import { openPostgres } from './platform/database/postgres-database.ts';
import { openSqlite } from './platform/database/sqlite-database.ts';
import { createJournal } from './platform/journal/create-journal.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import type { Settings } from './settings.ts';

const postgresPoolSize = 2;
/** Nobody wants to read a hundred thousand of them. */
const shownFindings = 1_000;

/** More missing blobs than this, and than a tenth of all, are no fault of single ones. */
const fewMissing = 10;

/**
 * Compares database and store. Looking may be done beside a server; so may repairs with PostgreSQL. False when something is left.
 * Throws when the store is another installation's.
 */
export async function runFsck(
  { repairs, force, json }: TaskOf<'fsck'>,
  { settings, print }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  if (repairs) lockIfEmbedded(settings, opened);
  const { store, mark } = await openStoreOf(settings, opened);
  const isOwn = await isStoreOf(settings, mark);
  if (repairs && !isOwn)
    throw new Error(
      'nobody has claimed the blob store: is it the right one (--blobs), and mounted? A server that starts with it claims it',
    );
  const account = await check({
    openRows: () => openRows(settings),
    store,
    nowMicros: clock.nowMicros(),
    graceMs: Math.max(settings.blobGrace, settings.uploadIdleExpiry),
    isSparseAllowed: settings.sparseManifests,
  });
  const findings = [...damageOf(settings), ...account.findings];
  if (repairs && !force) requireMost(account);
  const isWorkLeft = repairs && findings.some(isRepairable);
  const outcome = isWorkLeft
    ? await repair({ ...(await openForWriting(settings, opened)), store, clock }, findings)
    : { repaired: [], left: findings };
  if (json) print(JSON.stringify({ ...account, findings: undefined, ...outcome }, null, 2));
  else for (const line of reportOf({ ...account, ...outcome })) print(line);
  return outcome.left.length === 0;
}

/** False while nobody has claimed the store. Throws when it is another's, or the database is empty. */
async function isStoreOf(settings: Settings, mark: StoreMark): Promise<boolean> {
  const rows = await openRows(settings);
  try {
    for await (const row of readRows(rows, 'installation')) return await isClaimed(mark, row.text('tenant_uid'));
    throw new Error('the database holds no installation');
  } finally {
    await rows.close();
  }
}

/** A store that is half restored, or whose folder is not mounted, would set aside what is only elsewhere. */
function requireMost({ blobs, findings }: CheckAccount): void {
  const missing = findings.filter(({ kind }) => kind === 'blobMissing').length;
  if (missing <= fewMissing || missing * 10 <= blobs) return;
  throw new Error(
    `${missing} of ${blobs} blobs are missing: is the blob store mounted, and all of it there? ` +
      'Nothing was changed; --force sets them aside',
  );
}

/** What SQLite finds wrong in its own file. */
function damageOf({ database, data }: Settings): Finding[] {
  if (database !== undefined) return [];
  const file = new DatabaseSync(new DataFolder(data).database, { readOnly: true, timeout: 5_000 });
  try {
    const problems = file.prepare('pragma quick_check(100)').all();
    return problems
      .map((row) => String(row.quick_check))
      .filter((problem) => problem !== 'ok')
      .map((problem) => ({ kind: 'databaseDamaged', problem }));
  } finally {
    file.close();
  }
}

async function openForWriting(settings: Settings, opened: AsyncDisposableStack) {
  const database =
    settings.database === undefined
      ? await openSqlite({ file: new DataFolder(settings.data).database, clock, ids })
      : await openPostgres({ url: settings.database, poolSize: postgresPoolSize, clock, ids });
  opened.defer(() => database.close());
  const { region } = await database.read.selectFrom('installation').select('region').executeTakeFirstOrThrow();
  return { database, region, journal: createJournal({ database, clock, ids }) };
}

type Report = {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly manifests: number;
  readonly repaired: readonly Finding[];
  readonly left: readonly Finding[];
};

function reportOf({ blobs, blobBytes, manifests, repaired, left }: Report): readonly string[] {
  const repairable = left.filter(isRepairable).length;
  return [
    `looked at ${blobs} blobs (${blobBytes} bytes) and ${manifests} manifests`,
    ...listed('repaired', repaired),
    ...listed('wrong', left),
    ...(repairable === 0 ? [] : [`a repair can do something about ${repairable} of these: berth fsck --repair`]),
    left.length === 0 ? 'database and store agree' : `${left.length} problems are left`,
  ];
}

function listed(word: string, findings: readonly Finding[]): readonly string[] {
  const more = findings.length - shownFindings;
  const lines = findings.slice(0, shownFindings).map((finding) => `${word}: ${findingText(finding)}`);
  return more > 0 ? [...lines, `${word}: and ${more} more`] : lines;
}
