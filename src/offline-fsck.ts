import { DatabaseSync } from 'node:sqlite';
import { DataFolder } from './data-folder.ts';
import { lockIfEmbedded, type OfflineParts, openRows, openStore, type TaskOf } from './offline-parts.ts';
import { check } from './operate/fsck/check.ts';
import { type Finding, findingText, isRepairable } from './operate/fsck/finding.ts';
import { repair } from './operate/fsck/repair.ts';
import { openPostgres } from './platform/database/postgres-database.ts';
import { openSqlite } from './platform/database/sqlite-database.ts';
import { createJournal } from './platform/journal/create-journal.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import type { Settings } from './settings.ts';

const postgresPoolSize = 2;
/** Nobody wants to read a hundred thousand of them. */
const shownFindings = 1_000;

/** Compares database and store. Looking may be done beside a server; so may repairs with PostgreSQL. False when something is left. */
export async function runFsck(
  { repairs, json }: TaskOf<'fsck'>,
  { settings, print }: OfflineParts,
  opened: AsyncDisposableStack,
): Promise<boolean> {
  if (repairs) lockIfEmbedded(settings, opened);
  const store = openStore(settings, opened);
  const account = await check({
    openRows: () => openRows(settings),
    store,
    nowMicros: clock.nowMicros(),
    graceMs: Math.max(settings.blobGrace, settings.uploadIdleExpiry),
    isSparseAllowed: settings.sparseManifests,
  });
  const findings = [...damageOf(settings), ...account.findings];
  const isWorkLeft = repairs && findings.some(isRepairable);
  const outcome = isWorkLeft
    ? await repair({ ...(await openForWriting(settings, opened)), store, clock }, findings)
    : { repaired: [], left: findings };
  if (json) print(JSON.stringify({ ...account, findings: undefined, ...outcome }, null, 2));
  else for (const line of reportOf({ ...account, ...outcome })) print(line);
  return outcome.left.length === 0;
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
    ...(repairable === 0 ? [] : [`${repairable} of these can be put right: berth fsck --repair`]),
    left.length === 0 ? 'database and store agree' : `${left.length} problems are left`,
  ];
}

function listed(word: string, findings: readonly Finding[]): readonly string[] {
  const more = findings.length - shownFindings;
  const lines = findings.slice(0, shownFindings).map((finding) => `${word}: ${findingText(finding)}`);
  return more > 0 ? [...lines, `${word}: and ${more} more`] : lines;
}
