import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, renameSync, rmSync, statSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { objectStores } from '../support/object-stores.ts';
import { onPostgres } from '../support/postgres.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { type Outcome, tryRun } from '../support/run.ts';
import { type BlobSeed, blobSeed, imageOf, type UniqueManifest } from './content.ts';
import { blobPath, storageKeys } from './leftovers.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
const repository = 'team/app';

type Pushed = { readonly manifest: UniqueManifest; readonly blobs: readonly BlobSeed[] };

const answerSchema = z.object({
  blobs: z.number(),
  repaired: z.array(z.object({ kind: z.string() })),
  left: z.array(z.object({ kind: z.string() })),
});

async function push(server: BerthServer, images: readonly Pushed[]): Promise<void> {
  const client = new RegistryClient(server.http, server.admin);
  for (const [index, { manifest, blobs }] of images.entries()) {
    for (const blob of blobs) await client.pushBlob(repository, blob);
    await client.putManifest(repository, `v${index}`, manifest);
  }
  client.close();
}

function samples(count: number): Pushed[] {
  return Array.from({ length: count }, () => {
    const blobs = [blobSeed(300), blobSeed(100_000)];
    return { manifest: imageOf(blobs), blobs };
  });
}

async function fsck(args: readonly string[], env: Record<string, string> = {}) {
  const outcome: Outcome = await tryRun(berth, ['fsck', '--json', ...args], { env });
  const answer = answerSchema.parse(JSON.parse(outcome.stdout || '{}'));
  const kinds = (findings: readonly { readonly kind: string }[]) => findings.map(({ kind }) => kind).toSorted();
  return { code: outcome.code, repaired: kinds(answer.repaired), left: kinds(answer.left) };
}

describe('fsck', () => {
  test('DL-17: database and folder are compared both ways; repairs move no tag and replace nothing but by its own digest', async () => {
    await using server = await startBerth();
    const images = samples(4);
    await push(server, images);
    const args = ['--data', server.dataFolder];
    assert.deepEqual(await fsck(args), { code: 0, repaired: [], left: [] }, 'beside the server');
    const refused = await tryRun(berth, ['fsck', '--repair', ...args]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, new RegExp(`${server.pid}`), 'it names who has the folder');
    await server.stop();

    const keys = storageKeys(server.dataFolder);
    const pathOf = (image: number, blob: number) => {
      const digest = images[image]?.blobs[blob]?.digest ?? '';
      return blobPath(server.dataFolder, keys.get(digest) ?? assert.fail(digest));
    };
    const stray = blobPath(server.dataFolder, `${(keys.values().next().value ?? '').slice(0, 2)}${'a'.repeat(30)}`);
    copyFileSync(pathOf(0, 0), stray);
    utimesSync(stray, 1, 1);
    rmSync(pathOf(1, 1));
    truncateSync(pathOf(2, 1), 99);
    const database = new DatabaseSync(join(server.dataFolder, 'berth.sqlite'));
    database.prepare('update registry_usage set bytes = bytes + 7').run();
    database
      .prepare('update manifests set body = ? where digest = ?')
      .run(Buffer.from('{}'), images[3]?.manifest.digest ?? '');
    database.close();

    const tags = () => {
      const rows = new DatabaseSync(join(server.dataFolder, 'berth.sqlite'), { readOnly: true });
      const found = rows.prepare('select * from tags order by name').all();
      rows.close();
      return found;
    };
    const pointed = tags();
    const wrong = ['blobLength', 'blobMissing', 'manifestDamaged', 'unnamedBytes', 'usageWrong'];
    assert.deepEqual(await fsck(args), { code: 1, repaired: [], left: wrong });
    const repaired = wrong.filter((kind) => kind !== 'manifestDamaged');
    const left = ['blobDamaged', 'blobDamaged', 'manifestDamaged'];
    assert.deepEqual(await fsck(['--repair', ...args]), { code: 1, repaired, left });
    assert.deepEqual(await fsck(args), { code: 1, repaired: [], left });

    assert.deepEqual(tags(), pointed, 'DL-17: a repair moves no tag');

    await using again = await startBerth(server.again);
    const client = new RegistryClient(again.http, again.admin);
    // DL-17: what heals is the content of the digest alone.
    const torn = images[2]?.blobs[1] ?? assert.fail();
    const other = { ...blobSeed(torn.sizeBytes), digest: torn.digest };
    await assert.rejects(client.pushBlob(repository, other));
    assert.ok(!isWhole(await client.blob(repository, torn.digest), torn.digest));
    await push(again, images);
    for (const { blobs } of images)
      for (const blob of blobs) assert.ok(isWhole(await client.blob(repository, blob.digest), blob.digest));
    client.close();
    assert.deepEqual(await fsck(args), { code: 0, repaired: [], left: [] });
  });

  test('logs and contexts of builds stay; one that is gone is told', async () => {
    await using server = await startBerth();
    await push(server, samples(1));
    await server.stop();
    const [key = ''] = storageKeys(server.dataFolder).values();
    const kept = `${key.slice(0, 2)}${'a'.repeat(30)}`;
    const file = blobPath(server.dataFolder, kept);
    copyFileSync(blobPath(server.dataFolder, key), file);
    utimesSync(file, 1, 1);
    const database = new DatabaseSync(join(server.dataFolder, 'berth.sqlite'));
    database
      .prepare(
        'insert into kept_bytes (storage_key, registry_uid, digest, size, created_at) select ?, registry_uid, digest, size, 0 from blobs where storage_key = ?',
      )
      .run(kept, key);
    database.close();
    const args = ['--repair', '--data', server.dataFolder];
    assert.deepEqual(await fsck(args), { code: 0, repaired: [], left: [] });
    assert.ok(existsSync(file));
    rmSync(file);
    assert.deepEqual(await fsck(args), { code: 1, repaired: [], left: ['keptMissing'] });
  });

  test("another installation's store is refused, and so are repairs with one that nobody has claimed", async () => {
    await using own = await startBerth();
    await using other = await startBerth();
    const images = samples(1);
    await push(own, images);
    await push(other, images);
    await own.stop();
    await other.stop();
    const theirs = [...storageKeys(other.dataFolder).values()].map((key) => blobPath(other.dataFolder, key));
    for (const file of theirs) utimesSync(file, 1, 1);
    const refused = async (...args: string[]) => {
      const { code, stderr } = await tryRun(berth, ['fsck', '--data', own.dataFolder, ...args]);
      assert.equal(code, 1);
      return stderr;
    };
    const otherStore = join(other.dataFolder, 'blob-store');
    assert.match(await refused('--blobs', otherStore), /belongs to another installation/);
    assert.match(await refused('--blobs', otherStore, '--repair', '--force'), /belongs to another installation/);
    assert.ok(theirs.every((file) => existsSync(file)));
    rmSync(join(own.dataFolder, 'blob-store/installation'));
    assert.match(await refused('--repair', '--force'), /nobody has claimed/);
    assert.deepEqual(await fsck(['--data', own.dataFolder]), { code: 0, repaired: [], left: [] });
  });

  test('many missing blobs are set aside only by force, and served again once their bytes are back', async () => {
    await using server = await startBerth();
    const images = samples(6);
    await push(server, images);
    await server.stop();
    const args = ['--data', server.dataFolder];
    const keys = [...storageKeys(server.dataFolder).values()];
    const files = keys.map((key) => blobPath(server.dataFolder, key));
    for (const file of files) renameSync(file, `${file}.away`);
    const refused = await tryRun(berth, ['fsck', '--repair', ...args]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /12 of 12 blobs are missing/);
    const all = (kind: string) => keys.map(() => kind);
    assert.deepEqual(await fsck(args), { code: 1, repaired: [], left: all('blobMissing') });
    const forced = await fsck(['--repair', '--force', ...args]);
    assert.deepEqual(forced, { code: 1, repaired: all('blobMissing'), left: all('blobDamaged') });

    for (const file of files) renameSync(`${file}.away`, file);
    const [wrong = ''] = files;
    copyFileSync(wrong, `${wrong}.away`);
    truncateSync(wrong, 0);
    truncateSync(wrong, statSync(`${wrong}.away`).size);
    const repaired = await fsck(['--repair', ...args]);
    assert.deepEqual(repaired, { code: 1, repaired: all('blobDamaged').slice(1), left: ['blobDamaged'] });
    renameSync(`${wrong}.away`, wrong);
    assert.deepEqual(await fsck(['--repair', ...args]), { code: 0, repaired: ['blobDamaged'], left: [] });
    await using again = await startBerth(server.again);
    const client = new RegistryClient(again.http, again.admin);
    for (const { blobs } of images)
      for (const blob of blobs) assert.ok(isWhole(await client.blob(repository, blob.digest), blob.digest));
    client.close();
  });

  for (const [name, start] of Object.entries(objectStores))
    test(`PostgreSQL and ${name}: also repairs go on beside the server`, async () => {
      await using cluster = await startPostgresCluster();
      await using service = await start();
      const env = { BERTH_MASTER_KEY: randomBytes(32).toString('base64'), ...service.env };
      await using server = await startBerth({ databaseUrl: cluster.url, settings: { blobs: service.blobs }, env });
      const images = samples(2);
      await push(server, images);
      const args = ['--database', cluster.url, '--blobs', service.blobs];
      assert.deepEqual(await fsck(args, env), { code: 0, repaired: [], left: [] });
      await onPostgres(cluster.url, async (client) => {
        await client.query('update registry_usage set bytes = bytes + 7');
        await client.query(
          "update blobs set storage_key = substr(storage_key, 1, 20) || 'aaaaaa', stored_size = stored_size where size = 300",
        );
      });
      const repaired = await fsck(['--repair', ...args], env);
      assert.deepEqual(repaired, {
        code: 1,
        repaired: ['blobMissing', 'blobMissing', 'usageWrong'],
        left: ['blobDamaged', 'blobDamaged'],
      });
      await push(server, images);
      assert.deepEqual(await fsck(args, env), { code: 0, repaired: [], left: [] });
    });
});
