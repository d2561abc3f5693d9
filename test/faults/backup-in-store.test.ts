import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { startAzureServer } from '../support/azure-server.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { Daemon } from '../support/daemon.ts';
import { tryRun } from '../support/run.ts';
import { startS3Server } from '../support/s3-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type BlobSeed, blobSeed, imageOf } from './content.ts';
import { count } from './length.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
const repository = 'team/app';
/** Backups of which each removes the one before. */
const rounds = count(3, 20);

type Image = { readonly tag: string; readonly digest: string; readonly blobs: readonly BlobSeed[] };

describe('F-25: backups in an object store', () => {
  for (const kind of ['S3', 'Azure'] as const) {
    test(`${kind}: only what is new is copied, old ones leave with their blobs, and each kept one is restored whole`, async () => {
      using folder = temporaryFolder('backup-store');
      await using place = kind === 'S3' ? await s3Place() : await azurePlace();
      const { url, env } = place;
      const run = (...args: readonly string[]) => tryRun(berth, args, { env });
      await using server = await startBerth();
      const client = new RegistryClient(server.http, server.admin);
      const backup = (...more: readonly string[]) => run('backup', '--data', server.dataFolder, '--to', url, ...more);

      const images: Image[] = [];
      for (const [count, keep] of [
        [6, 9],
        [2, 9],
        [2, 2],
      ] as const) {
        for (let left = count; left > 0; left -= 1) images.push(await push(client, `v${images.length}`));
        // The first image leaves after the first backup: only that one names its blobs.
        if (count === 2 && keep === 9) await forget(client, images[0]);
        const outcome = await backup('--keep', String(keep));
        assert.equal(outcome.code, 0, outcome.output);
        // Snapshots have names to the second.
        await new Promise((resolve) => setTimeout(resolve, 1_100));
        const [, copied] = /(\d+) copied/.exec(outcome.stdout) ?? [];
        assert.equal(Number(copied), 2 * count, outcome.stdout);
        if (keep === 2) assert.match(outcome.stdout, /removed 1 older snapshots, and [1-9]\d* blobs/);
      }
      client.close();

      const unknown = await run('restore', '--data', join(folder.path, 'x'), '--from', url, '--snapshot', 'never');
      assert.equal(unknown.code, 1);
      const names = /there are: (.+)$/m.exec(unknown.stderr)?.[1]?.split(', ') ?? [];
      assert.equal(names.length, 2, unknown.output);
      for (const [index, name] of names.entries()) {
        const data = join(folder.path, `restored-${index}`);
        const key = ['--master-key-file', join(server.dataFolder, 'master.key')];
        const restored = await run('restore', '--data', data, '--from', url, '--snapshot', name, ...key);
        assert.equal(restored.code, 0, restored.output);
        await requireAll(data, server, index === 0 ? images.slice(1, 8) : images.slice(1));
      }
    });
  }

  test('Azure: backups with --keep beside pushes and deletions: what was there before the last began is restored whole', async () => {
    using folder = temporaryFolder('backup-store');
    await using place = await azurePlace();
    await using server = await startBerth();
    const client = new RegistryClient(server.http, server.admin);
    const images: Image[] = [];
    let isOver = false;
    /** Each third image leaves again, a few pushes later: its blobs are named by some snapshots and not by others. */
    const pushing = (async () => {
      while (!isOver) {
        images.push(await push(client, `v${images.length}`));
        const old = images.length - 4;
        if (old >= 0 && old % 3 === 0) await forget(client, images[old]);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    let before: readonly Image[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const enough = images.length + 4;
      await waitFor('images are pushed', 60_000, async () => images.length >= enough);
      // Those whose turn to leave cannot come before the snapshot stay.
      before = images.filter((_, index) => index % 3 !== 0);
      const args = ['backup', '--data', server.dataFolder, '--to', place.url, '--keep', '1'];
      const outcome = await tryRun(berth, args, { env: place.env });
      assert.equal(outcome.code, 0, outcome.output);
      if (round > 0) assert.match(outcome.stdout, /removed 1 older snapshots/);
    }
    isOver = true;
    await pushing;
    client.close();
    const data = join(folder.path, 'restored');
    const key = ['--master-key-file', join(server.dataFolder, 'master.key')];
    const restored = await tryRun(berth, ['restore', '--data', data, '--from', place.url, ...key], { env: place.env });
    assert.equal(restored.code, 0, restored.output);
    assert.ok(before.length > 0);
    await requireAll(data, server, before);
  });

  test('what could harm is refused: the store of a server, another installation, two at once', async () => {
    await using place = await s3Place();
    const { url, env } = place;
    await using server = await startBerth();
    await using other = await startBerth();
    const client = new RegistryClient(server.http, server.admin);
    for (let count = 0; count < 40; count += 1) await push(client, `v${count}`);
    client.close();
    const backup = (of: BerthServer, ...more: readonly string[]) =>
      tryRun(berth, ['backup', '--data', of.dataFolder, ...more], { env });
    const both = await Promise.all([backup(server, '--to', url), backup(server, '--to', url)]);
    for (const { code, output } of both) if (code === 1) assert.match(output, /another backup is at work here/);
    using folder = temporaryFolder('at-work');
    const args = ['backup', '--data', server.dataFolder, '--to', `${url.replace('/store?', '/again?')}`];
    const atWork = new Daemon({ command: berth, args, env, logFile: join(folder.path, 'log') });
    await waitFor('it has begun', 60_000, async () => (await place.keys('again/blobs/')).length > 0, 5);
    atWork.signal('SIGSTOP');
    const second = await tryRun(berth, args, { env });
    atWork.signal('SIGCONT');
    assert.deepEqual([second.code, /another backup is at work here/.test(second.output)], [1, true], second.output);
    assert.equal(await atWork.exited, 0, atWork.log());
    const last = await backup(server, '--to', url);
    assert.equal(last.code, 0, last.output);
    const foreign = await backup(other, '--to', url, '--keep', '1');
    assert.match(foreign.stderr, /belongs to another installation/);
    const live = await backup(
      server,
      '--to',
      join(server.dataFolder, 'b'),
      '--to-blobs',
      join(server.dataFolder, 'blob-store'),
    );
    assert.match(live.stderr, /belongs to another installation/);
    const secrets = await backup(server, '--to', url, '--with-secrets');
    assert.match(secrets.stderr, /--with-secrets is for a folder/);
    const count = await backup(server, '--to', url, '--keep', '0');
    assert.equal(count.code, 2);
  });
});

async function push(client: RegistryClient, tag: string): Promise<Image> {
  const blobs = [blobSeed(300), blobSeed(100_000)];
  for (const blob of blobs) await client.pushBlob(repository, blob);
  const manifest = imageOf(blobs);
  await client.putManifest(repository, tag, manifest);
  return { tag, digest: manifest.digest, blobs };
}

/** Deletes an image; the next snapshots name its blobs until they are collected. */
async function forget(client: RegistryClient, image: Image | undefined): Promise<void> {
  assert.ok(image !== undefined);
  await client.expect(202, 'DELETE', `/v2/${repository}/manifests/${image.digest}`);
  for (const { digest } of image.blobs) await client.expect(202, 'DELETE', `/v2/${repository}/blobs/${digest}`);
}

/** Every image is there, byte for byte. */
async function requireAll(dataFolder: string, from: BerthServer, images: readonly Image[]): Promise<void> {
  const settings = { 'master-key-file': join(from.dataFolder, 'master.key') };
  copyFileSync(join(from.dataFolder, 'bootstrap.json'), join(dataFolder, 'bootstrap.json'));
  await using server = await startBerth({ dataFolder, settings });
  const client = new RegistryClient(server.http, from.admin);
  for (const { tag, digest, blobs } of images) {
    assert.ok(isWhole(await client.manifest(repository, tag), digest), tag);
    for (const blob of blobs) assert.ok(isWhole(await client.blob(repository, blob.digest), blob.digest), tag);
  }
  client.close();
}

async function s3Place() {
  const server = await startS3Server();
  const { accessKeyId, secretAccessKey } = server.credentials;
  const { bucket, endpoint, credentials } = server;
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  return {
    url: server.blobs,
    env: { BERTH_BACKUP_KEY_ID: accessKeyId, BERTH_BACKUP_KEY: secretAccessKey },
    keys: async (prefix: string) => {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
      return Contents.map(({ Key = '' }) => Key);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function azurePlace() {
  const server = await startAzureServer();
  return {
    url: server.blobs,
    env: { BERTH_BACKUP_KEY: server.accountKey },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
