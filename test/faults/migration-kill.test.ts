import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBerth } from '../support/berth-server.ts';
import { Daemon } from '../support/daemon.ts';
import { onPostgres } from '../support/postgres.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed } from './content.ts';
import { RegistryClient } from './registry-client.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
const kills = 12;

for (const kind of ['sqlite', 'postgres'] as const) {
  test(`F-24: a migration on ${kind} that is killed at any moment leaves all of it or nothing, and runs again`, async () => {
    using folder = temporaryFolder('migration');
    await using cluster = kind === 'postgres' ? await startPostgresCluster() : undefined;
    const data = join(folder.path, 'data');
    const env = { BERTH_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') };
    const database = cluster === undefined ? [] : ['--database', cluster.url];
    const args = ['migrate-database', '--data', data, ...database];
    const startMs = performance.now();
    await run(berth, ['version']);
    const beginMs = performance.now() - startMs;
    for (let kill = 0; kill < kills; kill += 1) {
      if (cluster !== undefined) await emptied(cluster.url);
      const daemon = new Daemon({ command: berth, args, logFile: join(folder.path, 'log') });
      await sleep(beginMs * (0.6 + (1.2 * kill) / kills));
      await daemon.kill();
      if (cluster !== undefined) assert.ok(await isWholeOrNothing(cluster.url));
    }
    await run(berth, args, { env });
    const options = cluster === undefined ? {} : { databaseUrl: cluster.url };
    await using server = await startBerth({ ...options, env, dataFolder: data });
    const client = new RegistryClient(server.http, server.admin);
    await client.pushBlob('a/b', blobSeed(10));
    client.close();
  });
}

async function emptied(url: string): Promise<void> {
  await onPostgres(url, (client) => client.query('drop schema public cascade; create schema public'));
}

/** One transaction made every table that a migration names, or none. */
async function isWholeOrNothing(url: string): Promise<boolean> {
  return await onPostgres(url, async (client) => {
    // What the killed program sent last is done to its end, a commit for example.
    await waitFor('PostgreSQL knows that the program is gone', 60_000, async () => {
      const others = 'select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
      return (await client.query(others)).rowCount === 0;
    });
    const { rows } = await client.query<{ tables: string | null; rows: string | null }>(
      `select to_regclass('manifests')::text as tables, to_regclass('kysely_migration')::text as rows`,
    );
    const [found] = rows;
    if (found === undefined || found.rows === null) return found?.tables === null;
    const { rowCount } = await client.query('select 1 from kysely_migration');
    return (found.tables !== null) === (rowCount ?? 0) > 0;
  });
}
