import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openSqlite } from '../../src/platform/database/sqlite-database.ts';
import { verifyChain } from '../../src/platform/journal/verify-chain.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds } from '../../src/platform/system-ids.ts';

export type Leftovers = {
  /** Files of the blob store that no row names. */
  readonly unnamed: readonly string[];
  /** Rows of blobs, logs of runs and files for them whose own file is not there. */
  readonly missing: readonly string[];
  readonly openUploads: number;
};

/** Compares the files of a data folder with its database: I6. May run beside a server. */
export function leftoversIn(dataFolder: string): Leftovers {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { readOnly: true, timeout: 5_000 });
  try {
    const texts = (sql: string) =>
      database
        .prepare(sql)
        .all()
        .map((row) => String(row.name));
    const blobs = texts('select storage_key as name from blobs');
    const uploads = texts("select handle as name from uploads where handle <> ''");
    const kept = texts('select storage_key as name from kept_bytes');
    const named = new Set([...blobs, ...kept, ...uploads]);
    // Beside the blobs there are notes, and the mark that says whose store this is.
    const files = ['incoming', 'blobs'].flatMap((name) => filesBelow(join(dataFolder, 'blob-store', name)));
    return {
      unnamed: files.filter((file) => !named.has(file)),
      missing: [...blobs, ...kept].filter((key) => !existsSync(blobPath(dataFolder, key))),
      openUploads: uploads.length,
    };
  } finally {
    database.close();
  }
}

/** Where a folder store keeps a finished blob. */
export function blobPath(dataFolder: string, key: string): string {
  return join(dataFolder, 'blob-store/blobs', key.slice(0, 2), key);
}

/** The storage key of each blob, by digest. */
export function storageKeys(dataFolder: string): ReadonlyMap<string, string> {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { readOnly: true, timeout: 5_000 });
  try {
    const rows = database.prepare('select digest, storage_key from blobs').all();
    return new Map(rows.map((row) => [String(row.digest), String(row.storage_key)]));
  } finally {
    database.close();
  }
}

/** Makes a stopped server's background work due at its next start, and its open uploads expired, as after a long night. */
export function letTimePass(dataFolder: string): void {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { timeout: 5_000 });
  database.exec('update jobs set run_at = 0, lease_until = 0; update uploads set expires_at = 0, lease_until = 0');
  database.close();
}

/** Makes a job that waits due, beside a server. */
export function hasten(kind: string, dataFolder: string): void {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { timeout: 5_000 });
  database.prepare("update jobs set run_at = 0 where kind = ? and state = 'waiting' and run_at > 0").run(kind);
  database.close();
}

/**
 * I10 and I7 for a stopped server that keeps nothing of what is deleted: SQLite's own check, foreign keys, bytes in use against
 * a full recount, and every chain of the journal. Empty when all is well.
 */
export async function faultsInDatabase(dataFolder: string): Promise<string[]> {
  const file = join(dataFolder, 'berth.sqlite');
  const plain = new DatabaseSync(file, { readOnly: true });
  const integrity = plain
    .prepare('pragma integrity_check')
    .all()
    .flatMap((row) => Object.values(row).map(String));
  const foreign = plain
    .prepare('pragma foreign_key_check')
    .all()
    .map((row) => JSON.stringify(row));
  const miscounted = plain
    .prepare(miscountedUsage)
    .all()
    .map((row) => `bytes in use: ${JSON.stringify(row)}`);
  plain.close();
  const database = await openSqlite({ file, clock: systemClock, ids: systemIds });
  try {
    const heads = await database.read.selectFrom('journal_heads').select(['stream', 'incarnation']).execute();
    const verdicts = await Promise.all(heads.map((head) => verifyChain(database, head)));
    const broken = verdicts.flatMap((verdict) => (verdict.kind === 'broken' ? [verdict.reason] : []));
    return [...integrity.filter((line) => line !== 'ok'), ...foreign, ...miscounted, ...broken];
  } finally {
    await database.close();
  }
}

/** Registries whose count of bytes in use is not the sum of their manifests and of each blob once that one of them shows. */
const miscountedUsage = `
  with shown as (
    select distinct r.registry_uid, b.digest, b.size
    from repositories r
    join manifest_references x on x.repository_uid = r.uid and x.kind = 'blob'
    join blob_links l on l.repository_uid = r.uid and l.digest = x.digest
    join blobs b on b.registry_uid = r.registry_uid and b.digest = l.digest
  ), sizes as (
    select registry_uid, size from shown
    union all
    select r.registry_uid, m.size from repositories r join manifests m on m.repository_uid = r.uid
  ), recounted as (select registry_uid, sum(size) as bytes from sizes group by registry_uid)
  select g.uid, coalesce(u.bytes, 0) as counted, coalesce(n.bytes, 0) as recounted
  from registries g
  left join registry_usage u on u.registry_uid = g.uid
  left join recounted n on n.registry_uid = g.uid
  where coalesce(u.bytes, 0) <> coalesce(n.bytes, 0)`;

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}
