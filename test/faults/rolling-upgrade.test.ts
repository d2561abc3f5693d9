import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { startBerth } from '../support/berth-server.ts';
import { onPostgres } from '../support/postgres.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobSeed, imageOf } from './content.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

/** Statements that add to every table what a migration of the next version may add. */
function additionsTo(tables: readonly string[], text: string, integer: string): string[] {
  return [
    ...tables.flatMap((table) => [
      `alter table "${table}" add column next_note ${text}`,
      `alter table "${table}" add column next_count ${integer} not null default 7`,
    ]),
    `create table next_things (uid ${text} not null primary key)`,
    `create index next_index on tags (digest, name)`,
    `insert into kysely_migration (name, timestamp) values ('999-adds-next-things', '2031')`,
  ];
}

for (const kind of ['sqlite', 'postgres'] as const) {
  test(`rolling upgrade on ${kind}: servers go on, and are started again, while the next version adds to every table`, async () => {
    using folder = temporaryFolder('rolling');
    await using cluster = kind === 'postgres' ? await startPostgresCluster() : undefined;
    const env = { BERTH_MASTER_KEY: randomBytes(32).toString('base64') };
    const place = cluster === undefined ? { database: 'sqlite' as const } : { databaseUrl: cluster.url };
    await using server = await startBerth({ ...place, env, dataFolder: join(folder.path, 'data') });

    let isOver = false;
    const writing = [0, 1, 2].map((number) => writeUntil(server.http, server.admin, `w${number}`, () => isOver));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    if (cluster === undefined) addToSqlite(join(server.dataFolder, 'berth.sqlite'));
    else await addToPostgres(cluster.url);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    isOver = true;
    const counts = await Promise.all(writing).catch((cause: unknown) => {
      throw new Error(server.log(), { cause });
    });
    assert.ok(
      counts.every((count) => count > 0),
      counts.join(),
    );

    await server.stop();
    await using again = await startBerth(server.again);
    const late = await writeUntil(again.http, again.admin, 'late', (count) => count >= 3);
    assert.equal(late, 3);
    const client = new RegistryClient(again.http, again.admin);
    for (const [number, count] of counts.entries())
      assert.equal((await client.manifest('team/app', `w${number}-${count - 1}`)).status, 200);
    client.close();
    assert.ok(!/"level":"?(?:error|50)/.test(again.log()), again.log());
  });
}

/** Pushes, pulls, retags and deletes; every answer is the expected one. Resolves to how many images are there. */
async function writeUntil(
  origin: string,
  admin: { readonly username: string; readonly password: string },
  name: string,
  isOver: (count: number) => boolean,
): Promise<number> {
  const client = new RegistryClient(origin, admin);
  let count = 0;
  for (; !isOver(count); count += 1) {
    const blobs = [blobSeed(200), blobSeed(20_000)];
    for (const blob of blobs) await client.pushBlob('team/app', blob, 'chunks');
    const image = imageOf(blobs);
    await client.putManifest('team/app', `${name}-${count}`, image);
    await client.putManifest('team/app', `${name}-latest`, image);
    assert.ok(isWhole(await client.manifest('team/app', `${name}-latest`), image.digest));
    const passing = imageOf(blobs);
    await client.putManifest('team/app', passing.digest, passing);
    await client.expect(202, 'DELETE', `/v2/team/app/manifests/${passing.digest}`);
    await client.expect(200, 'GET', '/v2/team/app/tags/list?n=5');
    await client.expect(200, 'GET', '/v2/_catalog');
    await client.expect(200, 'GET', `/acr/v1/team/app/_tags/${name}-latest`);
    await client.expect(200, 'GET', `/v2/team/app/referrers/${image.digest}`);
  }
  client.close();
  return count;
}

/** In one transaction, as a migration does it. */
function addToSqlite(file: string): void {
  const database = new DatabaseSync(file, { timeout: 5_000 });
  const names = database
    .prepare(
      `select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' and name not like 'kysely_%'`,
    )
    .all()
    .map((row) => String(row.name));
  database.exec('begin immediate');
  for (const statement of additionsTo(names, 'text', 'integer')) database.exec(statement);
  database.exec('commit');
  database.close();
}

async function addToPostgres(url: string): Promise<void> {
  await onPostgres(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select table_name::text as name from information_schema.tables
       where table_schema = 'public' and table_name not like 'kysely_%' order by table_name`,
    );
    // A table at a time, so that no statement of a server and this one wait for each other.
    for (const statement of additionsTo(
      rows.map(({ name }) => name),
      'text',
      'bigint',
    ))
      await client.query(statement);
  });
}
