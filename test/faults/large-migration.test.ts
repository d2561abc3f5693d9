import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kysely, Migrator } from 'kysely';
import { Pool } from 'pg';
import { fillRepositories } from '../../bench/fill-repositories.ts';
import { migrations } from '../../src/platform/database/migrate.ts';
import { openPostgres } from '../../src/platform/database/postgres-database.ts';
import { PostgresDialect } from '../../src/platform/database/postgres-dialect.ts';
import type { Schema } from '../../src/platform/database/schema.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds } from '../../src/platform/system-ids.ts';
import { onPostgres } from '../support/postgres.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { count } from './length.ts';

/** The schema that is filled, and brought up to date from there, has the migrations before this name: content as it is counted now. */
const from = '010';
const manifestsEach = 100;
const repositories = count(100, 10_000);
const maxWaitMs = 5_000;
const maxWholeMs = 60_000;

test(`F-24: ${repositories * manifestsEach} manifests are migrated while others read and write them`, async (t) => {
  await using cluster = await startPostgresCluster();
  await migratedTo(cluster.url, from);
  await onPostgres(cluster.url, async (client) => {
    // Without the keys of other tables: their registry is not there.
    await client.query('set session_replication_role = replica');
    await fillRepositories(client, { registryUid: 'r', repositories, manifestsEach }, () => {});
  });
  const isOver = new AbortController();
  const watches = statements.map((statement) => longestWait(cluster.url, statement, isOver.signal));
  await sleep(100);
  const beganMs = performance.now();
  const database = await openPostgres({ url: cluster.url, poolSize: 2, clock: systemClock, ids: systemIds });
  const wholeMs = performance.now() - beganMs;
  await database.close();
  isOver.abort();
  const waits = await Promise.all(watches);
  t.diagnostic(`${Math.round(wholeMs)} ms in all, longest waits ${waits.map(Math.round).join(', ')} ms`);
  assert.ok(Math.max(...waits) <= maxWaitMs, waits.join());
  assert.ok(wholeMs <= maxWholeMs, `${wholeMs} ms`);
});

/** As pulls and pushes do. */
const statements = [
  `select m.body from tags t join manifests m using (repository_uid, digest) where t.name = 't1' limit 1`,
  `update manifests set changed_at = changed_at + 1 where repository_uid = 'bench' || lpad('3', 21, '0')`,
  `update tags set changed_at = changed_at + 1 where repository_uid = 'bench' || lpad('4', 21, '0')`,
];

async function migratedTo(url: string, end: string): Promise<void> {
  const pool = new Pool({ connectionString: url, max: 1 });
  const db = new Kysely<Schema>({ dialect: new PostgresDialect(pool, systemClock) });
  const early = Object.fromEntries(Object.entries(migrations('postgres')).filter(([name]) => name < end));
  const { error } = await new Migrator({ db, provider: { getMigrations: async () => early } }).migrateToLatest();
  await pool.end();
  assert.equal(error, undefined);
}

/** In milliseconds, of a statement that is asked again and again. */
async function longestWait(url: string, statement: string, signal: AbortSignal): Promise<number> {
  return await onPostgres(url, async (client) => {
    let longestMs = 0;
    while (!signal.aborted) {
      const beganMs = performance.now();
      await client.query(statement);
      longestMs = Math.max(longestMs, performance.now() - beganMs);
      await sleep(5);
    }
    return longestMs;
  });
}
