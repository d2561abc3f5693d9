import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { Daemon } from '../support/daemon.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { type Outcome, tryRun } from '../support/run.ts';
import { startS3Server } from '../support/s3-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type BlobSeed, blobSeed, imageOf } from './content.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

/** One that waits for itself is told from a slow one. */
const commandTimeoutMs = 300_000;
const berth = join(import.meta.dirname, '../../bin/berth');
const repository = 'team/app';

type Pushed = { readonly tag: string; readonly digest: string; readonly blobs: readonly BlobSeed[] };

/** Pushes images until told to stop; answers with those that were confirmed. */
async function push(server: BerthServer, name: string, isOver: (count: number) => boolean): Promise<Pushed[]> {
  const client = new RegistryClient(server.http, server.admin);
  const pushed: Pushed[] = [];
  while (!isOver(pushed.length)) {
    const blobs = [blobSeed(300), blobSeed(200_000)];
    for (const blob of blobs) await client.pushBlob(repository, blob);
    const manifest = imageOf(blobs);
    const tag = `${name}-${pushed.length}`;
    await client.putManifest(repository, tag, manifest);
    pushed.push({ tag, digest: manifest.digest, blobs });
  }
  client.close();
  return pushed;
}

/** Every image is there, byte for byte. */
async function requireAll(server: BerthServer, pushed: readonly Pushed[]): Promise<void> {
  const client = new RegistryClient(server.http, server.admin);
  for (const { tag, digest, blobs } of pushed) {
    assert.ok(isWhole(await client.manifest(repository, tag), digest), tag);
    for (const blob of blobs) assert.ok(isWhole(await client.blob(repository, blob.digest), blob.digest), tag);
  }
  client.close();
}

/** What its tags name is whole, whichever tags it has (I2). */
async function requireWhole(server: BerthServer, pushed: readonly Pushed[]): Promise<number> {
  const client = new RegistryClient(server.http, server.admin);
  let count = 0;
  for (const { tag, blobs } of pushed) {
    if ((await client.manifest(repository, tag)).status !== 200) continue;
    count += 1;
    for (const blob of blobs) assert.ok(isWhole(await client.blob(repository, blob.digest), blob.digest), tag);
  }
  client.close();
  return count;
}

function run(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return tryRun(berth, args, { env, timeoutMs: commandTimeoutMs });
}

function requireDone(outcome: Outcome): string {
  assert.equal(outcome.code, 0, outcome.output);
  return outcome.stdout;
}

describe('backup and restore', () => {
  test('F-25: a backup beside pushes is restored elsewhere: all that was confirmed before it, and all of it whole', async () => {
    using folder = temporaryFolder('backup');
    const backups = join(folder.path, 'backups');
    await using server = await startBerth();
    const before = await push(server, 'before', (count) => count >= 20);
    let isOver = false;
    const during = push(server, 'during', () => isOver);
    during.catch(() => {});
    const args = ['backup', '--data', server.dataFolder, '--to', backups, '--with-secrets'];
    requireDone(await run(args));
    isOver = true;
    const late = await during;
    const again = requireDone(await run(args));
    const [, copied = ''] = /(\d+) copied/.exec(again) ?? [];
    assert.ok(Number(copied) <= 2 * late.length, `only what is new is copied: ${again}`);
    const names = readdirSync(join(backups, 'snapshots')).sort();
    assert.equal(names.length, 2, names.join());

    for (const [index, name] of names.entries()) {
      const data = join(folder.path, `restored-${index}`);
      const snapshot = ['--snapshot', name.replace('.sqlite', '')];
      requireDone(await run(['restore', '--data', data, '--from', backups, ...snapshot]));
      const refused = await run(['restore', '--data', data, '--from', backups]);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /holds an installation already/);
      await using restored = await startBerth({ dataFolder: data });
      await requireAll(restored, before);
      const count = await requireWhole(restored, late);
      if (index === 1) assert.equal(count, late.length);
      await push(restored, 'after', (done) => done >= 2);
    }
  });

  test('F-25: a backup is restored into PostgreSQL, and not over what is there', async () => {
    using folder = temporaryFolder('backup');
    const backups = join(folder.path, 'backups');
    await using server = await startBerth();
    const pushed = await push(server, 'a', (done) => done >= 2);
    requireDone(await run(['backup', '--data', server.dataFolder, '--to', backups, '--with-secrets']));
    await using cluster = await startPostgresCluster();
    const data = join(folder.path, 'restored');
    const restore = ['restore', '--data', data, '--database', cluster.url, '--from', backups];
    requireDone(await run(restore));
    const refused = await run(restore);
    assert.match(refused.stderr, /holds an installation already/);
    const settings = { 'master-key-file': join(data, 'master.key') };
    await using restored = await startBerth({ dataFolder: data, databaseUrl: cluster.url, settings });
    await requireAll(restored, pushed);
    await push(restored, 'after', (done) => done >= 2);
  });

  test('a backup that was killed is taken up again; a blob that is gone is told', async () => {
    using folder = temporaryFolder('backup');
    const backups = join(folder.path, 'backups');
    await using server = await startBerth();
    const client = new RegistryClient(server.http, server.admin);
    const pushed = await push(server, 'image', (count) => count >= 150);
    const args = ['backup', '--data', server.dataFolder, '--to', backups];
    const killed = new Daemon({ command: berth, args, logFile: join(folder.path, 'killed.log') });
    const stored = () => readdirSync(join(backups, 'blob-store/blobs'), { recursive: true }).length;
    await waitFor('some blobs are copied', 120_000, () => stored() > 270, 1);
    await killed.kill();
    const unfinished = readdirSync(join(backups, 'snapshots')).filter((name) => name.endsWith('.sqlite'));
    assert.deepEqual(unfinished, []);
    const again = requireDone(await run(args));
    const [, present = ''] = /(\d+) there already/.exec(again) ?? [];
    assert.ok(Number(present) > 0, again);

    const key = readdirSync(join(backups, 'blob-store/blobs'), { recursive: true }).find((name) => name.length > 30);
    assert.ok(key !== undefined);
    const data = join(folder.path, 'restored');
    const noKey = await run(['restore', '--data', data, '--from', backups]);
    assert.equal(noKey.code, 1);
    assert.match(noKey.stderr, /the master key of the installation is needed/);
    writeFileSync(join(backups, 'blob-store/blobs', String(key)), 'other bytes');
    const keyFile = ['--master-key-file', join(server.dataFolder, 'master.key')];
    const damaged = await run(['restore', '--data', data, '--from', backups, ...keyFile]);
    assert.equal(damaged.code, 1);
    assert.match(damaged.stdout, /damaged: sha256:/);
    assert.equal(pushed.length, 150);
    client.close();
  });
});

describe('move', () => {
  test('from SQLite and a folder to PostgreSQL and S3, and back; the source serves meanwhile', async () => {
    using folder = temporaryFolder('move');
    await using cluster = await startPostgresCluster();
    await using store = await startS3Server();
    await using source = await startBerth();
    const keyFile = join(source.dataFolder, 'master.key');
    const files = {
      here: settingsFile(folder.path, 'here', { data: source.dataFolder }),
      there: settingsFile(folder.path, 'there', {
        data: join(folder.path, 'there'),
        database: cluster.url,
        blobs: store.blobs,
        'blobs-key-id': store.credentials.accessKeyId,
        'blobs-key': store.credentials.secretAccessKey,
        'master-key-file': keyFile,
      }),
      back: settingsFile(folder.path, 'back', { data: join(folder.path, 'back'), 'master-key-file': keyFile }),
    };
    const before = await push(source, 'before', (count) => count >= 20);
    let isOver = false;
    const pushing = push(source, 'during', () => isOver);
    // Awaited below; a fault before that is the one to tell.
    pushing.catch(() => {});
    await sleep(200);
    const first = await run(['move', '--from', files.here, '--to', files.there]);
    assert.equal(first.code, 1, first.output);
    assert.match(first.stdout, /the source has changed since/);
    isOver = true;
    const during = await pushing;
    const account = requireDone(await run(['move', '--from', files.here, '--to', files.there]));
    assert.match(account, /manifests: \d+ rows/);

    const env = {
      BERTH_BLOBS_KEY_ID: store.credentials.accessKeyId,
      BERTH_BLOBS_KEY: store.credentials.secretAccessKey,
    };
    const settings = { blobs: store.blobs, 'master-key-file': keyFile };
    const dataFolder = join(folder.path, 'there');
    mkdirSync(dataFolder, { mode: 0o700 });
    writeFileSync(join(dataFolder, 'bootstrap.json'), JSON.stringify(source.bootstrap));
    await using target = await startBerth({ databaseUrl: cluster.url, dataFolder, settings, env });
    await requireAll(target, [...before, ...during]);
    const after = await push(target, 'after', (count) => count >= 3);
    const refused = await run(['move', '--from', files.here, '--to', files.there]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /the target has gone on by itself/);
    await target.stop();

    requireDone(await run(['move', '--from', files.there, '--to', files.back]));
    const backFolder = join(folder.path, 'back');
    writeFileSync(join(backFolder, 'bootstrap.json'), JSON.stringify(source.bootstrap));
    await using back = await startBerth({ dataFolder: backFolder, settings: { 'master-key-file': keyFile } });
    await requireAll(back, [...before, ...during, ...after]);
  });

  test('migrate-database makes a schema, says so, and does nothing the second time', async () => {
    await using cluster = await startPostgresCluster();
    using folder = temporaryFolder('migrate');
    const env = { BERTH_DATABASE: cluster.url, BERTH_MASTER_KEY: randomBytes(32).toString('base64') };
    const both = await Promise.all([1, 2].map(() => run(['migrate-database', '--data', folder.path], env)));
    for (const outcome of both) assert.match(requireDone(outcome), /the schema is up to date: \d{3}-/);
  });
});

function settingsFile(folder: string, name: string, settings: Record<string, string>): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    Object.entries(settings)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
      .join(''),
  );
  return file;
}
