import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { parseInventoryName } from '../../src/operate/rebuild/inventory-name.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { Daemon } from '../support/daemon.ts';
import { freePort } from '../support/free-port.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { tryRun } from '../support/run.ts';
import { startS3Server } from '../support/s3-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, descriptorOf, imageOf, indexOf, type UniqueManifest } from './content.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
/** Much longer than the inventory waits. */
const inventoryMs = 300_000;

type Expected = Map<string, { readonly manifest: UniqueManifest; readonly blobs: readonly string[] }>;

/** Images, an index and a referrer in several repositories, some of them moved or deleted again; what is there by `repository:tag`. */
async function fill(server: BerthServer): Promise<{ readonly there: Expected; readonly gone: readonly string[] }> {
  const clients = Array.from({ length: 4 }, () => new RegistryClient(server.http, server.admin));
  const there: Expected = new Map();
  const gone: string[] = [];
  await Promise.all(
    clients.map(async (client, number) => {
      const repository = `team/app${number % 2}`;
      for (let count = 0; count < 6; count += 1) {
        const blobs = [blobSeed(300), blobSeed(300_000)];
        for (const blob of blobs) await client.pushBlob(repository, blob);
        const image = imageOf(blobs);
        const tag = `c${number}-${count}`;
        await client.putManifest(repository, tag, image);
        there.set(`${repository}:${tag}`, { manifest: image, blobs: blobs.map(({ digest }) => digest) });
        await client.putManifest(repository, `latest-${number}`, image);
        there.set(`${repository}:latest-${number}`, { manifest: image, blobs: [] });
        if (count === 1) {
          const index = indexOf([descriptorOf(image)]);
          await client.putManifest(repository, `index-${number}`, index);
          there.set(`${repository}:index-${number}`, { manifest: index, blobs: [] });
          const note = imageOf([blobs[0] ?? blobSeed(1)], descriptorOf(image));
          await client.putManifest(repository, note.digest, note);
          there.set(`${repository}@${note.digest}`, { manifest: note, blobs: [] });
        }
        if (count !== 2) continue;
        await client.expect(202, 'DELETE', `/v2/${repository}/manifests/${tag}`);
        there.delete(`${repository}:${tag}`);
        gone.push(`${repository}:${tag}`);
      }
    }),
  );
  for (const client of clients) client.close();
  return { there, gone };
}

async function requireSame(server: BerthServer, there: Expected, gone: readonly string[]): Promise<void> {
  const client = new RegistryClient(server.http, server.admin);
  for (const [name, { manifest, blobs }] of there) {
    const [, repository = '', reference = ''] = /^([^:@]+)[:@](.+)$/.exec(name) ?? [];
    const answer = await client.manifest(repository, reference);
    assert.ok(isWhole(answer, manifest.digest), `${name}: ${answer.status}`);
    assert.equal(answer.headers['content-type'], manifest.mediaType);
    for (const digest of blobs) assert.ok(isWhole(await client.blob(repository, digest), digest), name);
  }
  for (const name of gone) {
    const [repository = '', tag = ''] = name.split(':');
    assert.equal((await client.manifest(repository, tag)).status, 404, name);
  }
  for (const repository of ['team/app0', 'team/app1']) {
    const page = await client.expect(200, 'GET', `/v2/${repository}/tags/list?n=1000`);
    const tags: unknown = JSON.parse(page.body.toString());
    const wanted = [...there.keys()].flatMap((name) => (name.startsWith(`${repository}:`) ? [name.split(':')[1]] : []));
    assert.deepEqual(tags, { name: repository, tags: wanted.sort() });
  }
  client.close();
}

/** Waits until the inventory, of whose notes these are the names, says everything that has happened in the registries so far. */
async function inventoryOf(
  { dataFolder }: BerthServer,
  list: () => Promise<readonly string[]> | readonly string[],
): Promise<void> {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { readOnly: true, timeout: 5_000 });
  const heads = database
    .prepare('select stream, incarnation, seq from journal_heads')
    .all()
    .filter(({ stream }) => String(stream).startsWith('registry/'));
  database.close();
  assert.ok(heads.length > 0);
  await waitFor('the inventory says everything', inventoryMs, async () => {
    const notes = (await list()).map(parseInventoryName);
    return heads.every(({ stream, incarnation, seq }) =>
      notes.some(
        (note) =>
          note?.isLast === true &&
          note.registryUid === String(stream).split('/')[1] &&
          note.incarnation === incarnation &&
          note.seq >= Number(seq),
      ),
    );
  });
}

describe('rebuild', () => {
  test('the database is lost: everything that was pushed is there again, and what is unknown is told', async () => {
    using folder = temporaryFolder('rebuild');
    await using server = await startBerth({ dataFolder: join(folder.path, 'old') });
    const { there, gone } = await fill(server);
    const store = join(server.dataFolder, 'blob-store');
    await inventoryOf(server, () => readdirSync(join(store, 'notes')));
    await server.kill();
    for (const name of readdirSync(server.dataFolder))
      if (name.startsWith('berth.sqlite')) rmSync(join(server.dataFolder, name));

    const args = ['rebuild', '--data', join(folder.path, 'new'), '--blobs', store];
    const killed = new Daemon({ command: berth, args, logFile: join(folder.path, 'killed.log') });
    const hasBegun = () => readdirSync(join(store, 'notes')).includes('rebuild.under-way');
    await waitFor('the rebuild has begun', 120_000, hasBegun, 1);
    await killed.kill();
    const early = await tryRun(berth, [
      'serve',
      ...args.slice(1),
      '--http',
      `localhost:${await freePort()}`,
      '--https',
      'none',
    ]);
    assert.match(early.output, /belongs to another installation/);

    const outcome = await tryRun(berth, args);
    assert.equal(outcome.code, 0, outcome.output);
    assert.match(outcome.stdout, /registry local: 2 repositories, \d+ manifests, \d+ tags/);
    assert.match(outcome.stdout, /role assignments, custom roles/);
    const again = await tryRun(berth, args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /holds an installation already/);
    await using rebuilt = await startBerth({ dataFolder: join(folder.path, 'new'), settings: { blobs: store } });
    await requireSame(rebuilt, there, gone);
    const { there: more } = await fill(rebuilt);
    assert.ok(more.size > 0);
  });

  test('from S3 into PostgreSQL; a blob that is gone is told by what needs it, and a push heals it', async () => {
    using folder = temporaryFolder('rebuild');
    await using cluster = await startPostgresCluster();
    await using s3 = await startS3Server();
    const env = {
      BERTH_BLOBS_KEY_ID: s3.credentials.accessKeyId,
      BERTH_BLOBS_KEY: s3.credentials.secretAccessKey,
      BERTH_MASTER_KEY: randomBytes(32).toString('base64'),
    };
    await using server = await startBerth({ database: 'sqlite', settings: { blobs: s3.blobs }, env });
    const { there, gone } = await fill(server);
    const seed = blobSeed(5_000);
    const client = new RegistryClient(server.http, server.admin);
    await client.pushBlob('team/app0', seed);
    const image = imageOf([seed]);
    await client.putManifest('team/app0', 'needy', image);
    client.close();
    const gateway = await import('@aws-sdk/client-s3');
    const s3Client = new gateway.S3Client({
      endpoint: s3.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: s3.credentials,
    });
    await inventoryOf(server, async () => {
      const found = new gateway.ListObjectsV2Command({ Bucket: s3.bucket, Prefix: 'store/notes/' });
      return (await s3Client.send(found)).Contents?.map(({ Key = '' }) => Key.slice('store/notes/'.length)) ?? [];
    });
    await server.stop();
    // Take away the only blob of its size.
    const list = await s3Client.send(new gateway.ListObjectsV2Command({ Bucket: s3.bucket, Prefix: 'store/blobs/' }));
    const lost = list.Contents?.find(({ Size }) => Size === 5_000);
    assert.ok(lost?.Key !== undefined);
    await s3Client.send(new gateway.DeleteObjectCommand({ Bucket: s3.bucket, Key: lost.Key }));

    const data = join(folder.path, 'new');
    const args = ['rebuild', '--data', data, '--database', cluster.url, '--blobs', s3.blobs];
    const outcome = await tryRun(berth, args, { env });
    assert.equal(outcome.code, 1, outcome.output);
    assert.match(outcome.stdout, new RegExp(`missing blob: local/team/app0@${seed.digest}`));
    await using rebuilt = await startBerth({
      databaseUrl: cluster.url,
      dataFolder: data,
      settings: { blobs: s3.blobs },
      env,
    });
    const other = new RegistryClient(rebuilt.http, rebuilt.admin);
    assert.ok(isWhole(await other.manifest('team/app0', 'needy'), image.digest));
    assert.equal((await other.blob('team/app0', seed.digest)).status, 404);
    await other.pushBlob('team/app0', seed);
    assert.ok(isWhole(await other.blob('team/app0', seed.digest), seed.digest));
    await other.expect(202, 'DELETE', '/v2/team/app0/manifests/needy');
    other.close();
    await requireSame(rebuilt, there, gone);
  });

  test('a store that says nothing of itself is refused, and no installation is made', async () => {
    using folder = temporaryFolder('rebuild');
    const data = join(folder.path, 'data');
    writeFileSync(join(folder.path, 'note'), '');
    const outcome = await tryRun(berth, ['rebuild', '--data', data, '--blobs', join(folder.path, 'store')]);
    assert.equal(outcome.code, 1);
    assert.match(outcome.stderr, /does not say what is in it/);
  });
});
