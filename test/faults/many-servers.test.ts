import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { freePort } from '../support/free-port.ts';
import { type PostgresCluster, startPostgresCluster } from '../support/postgres-cluster.ts';
import { run, tryRun } from '../support/run.ts';
import { type S3Server, startS3Server } from '../support/s3-server.ts';
import { samples } from '../support/samples.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobSeed, bytesOf, imageOf } from './content.ts';
import { dockerClient } from './docker-client.ts';
import { isWhole, locationOf, RegistryClient } from './registry-client.ts';

/** Of each client at least; a quick machine does more until enough servers were killed. */
const rounds = 6;
const leastKills = 3;
const skopeos = ['a', 'b', 'c'];
/** With docker. */
const clients = skopeos.length + 1;
const killEveryMs = 3_000;
/** So long the balancer may go on asking a server that is gone. */
const noticedMs = 1_000;
/** skopeo's own retries are for connections that break, not for the 502 of a balancer whose server died: then it is run again. */
const clientRetries = '3';
const moreRuns = 3;
const pauseMs = 2_000;

describe('three servers on PostgreSQL and S3 behind HAProxy', () => {
  const folder = temporaryFolder('many-servers');
  let cluster: PostgresCluster;
  let store: S3Server;
  let balancer: Balancer;
  const servers: BerthServer[] = [];

  before(async () => {
    cluster = await startPostgresCluster();
    store = await startS3Server();
    const port = await freePort();
    const env = {
      BERTH_MASTER_KEY: randomBytes(32).toString('base64'),
      BERTH_BLOBS_KEY_ID: store.credentials.accessKeyId,
      BERTH_BLOBS_KEY: store.credentials.secretAccessKey,
    };
    for (const name of ['one', 'two', 'three']) {
      const dataFolder = join(folder.path, name);
      mkdirSync(dataFolder, { mode: 0o700 });
      // The owner's secrets are known to the server that made the installation; others are given its file.
      const [first] = servers;
      if (first !== undefined)
        copyFileSync(join(first.dataFolder, 'bootstrap.json'), join(dataFolder, 'bootstrap.json'));
      const settings = { blobs: store.blobs, 'public-port': String(port), 'trusted-proxies': '127.0.0.1,::1' };
      servers.push(await startBerth({ databaseUrl: cluster.url, env, dataFolder, settings }));
    }
    balancer = await startBalancer(
      port,
      servers.map((server) => server.ports.http),
    );
  });
  after(async () => {
    await balancer?.[Symbol.asyncDispose]();
    await Promise.all(servers.map((server) => server.kill()));
    await store?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
    folder.remove();
  });

  const server = (index: number) => {
    const found = servers[index];
    assert.ok(found !== undefined);
    return found;
  };
  const direct = (index: number) => new RegistryClient(server(index).http, server(0).admin);

  test('an upload begun on one server goes on at another and ends at a third', async () => {
    const blob = blobSeed(13_000_000);
    const bytes = bytesOf(blob);
    const [one, two, three] = [direct(0), direct(1), direct(2)];
    const first = await one.openUpload('shared/app', bytes.subarray(0, 6_000_001));
    const second = await two.expect(202, 'PATCH', pathOf(first), { body: bytes.subarray(6_000_001, 6_000_100) });
    const path = `${pathOf(locationOf(second))}?digest=${blob.digest}`;
    await three.expect(201, 'PUT', path, { body: bytes.subarray(6_000_100) });
    for (const client of [one, two, three])
      assert.ok(isWhole(await client.blob('shared/app', blob.digest), blob.digest));
  });

  test('two servers that set one tag at once: both manifests stay, the tag is one of them everywhere', async () => {
    const clients = [direct(0), direct(1), direct(2)];
    const config = blobSeed(50);
    await clients[0]?.pushBlob('shared/tag', config);
    for (let round = 0; round < 20; round += 1) {
      const manifests = clients.map(() => imageOf([config]));
      await Promise.all(
        clients.map(async (client, index) => {
          const manifest = manifests[index];
          if (manifest !== undefined) await client.putManifest('shared/tag', 'latest', manifest);
        }),
      );
      const tagged = await Promise.all(clients.map((client) => client.manifest('shared/tag', 'latest')));
      const digests = new Set(tagged.map((answer) => answer.headers['docker-content-digest']));
      assert.equal(digests.size, 1);
      assert.ok(manifests.some((manifest) => digests.has(manifest.digest)));
      for (const { digest } of manifests)
        assert.equal((await clients[round % 3]?.manifest('shared/tag', digest))?.status, 200);
    }
  });

  test('skopeo and docker push and pull while a server is killed every few seconds: a run fails only by a kill, nothing confirmed is lost', async (t) => {
    const { layout, digests } = await samples();
    const { username, password } = server(0).admin;
    const retry = ['--retry-times', clientRetries];
    const imageAt = (tag: string) => `docker://localhost:${balancer.port}/load/app:${tag}`;
    const host = `localhost:${balancer.port}`;
    const place = { folder: folder.path, host, caPath: server(0).caPath, layout };
    const failed: { readonly startMs: number; readonly endMs: number }[] = [];
    const onFailure = (startMs: number) => failed.push({ startMs, endMs: performance.now() });
    await using docker = await dockerClient({ ...place, username, password, onFailure });
    const tags: string[] = [];
    const byDocker: { readonly repository: string; readonly digest: string }[] = [];
    let isOver = false;
    const kills: { readonly fromMs: number; readonly toMs: number }[] = [];
    const killing = (async () => {
      while (!isOver) {
        await sleep(killEveryMs);
        const index = kills.length % servers.length;
        const victim = server(index);
        const fromMs = performance.now();
        await victim.kill();
        kills.push({ fromMs, toMs: performance.now() });
        await sleep(500);
        servers[index] = await startBerth(victim.again);
      }
    })();
    const client = async (name: string) => {
      for (let round = 0; round < rounds || kills.length < leastKills; round += 1) {
        const tag = `${name}-${round}`;
        tags.push(tag);
        const to = ['--dest-tls-verify=false', '--dest-creds', `${username}:${password}`];
        const from = ['--src-tls-verify=false', '--src-creds', `${username}:${password}`];
        const copy = ['copy', '--all', '--preserve-digests', ...retry];
        await skopeo([...copy, ...to, `oci:${layout}:multi`, imageAt(tag)], onFailure);
        using pulled = temporaryFolder('pulled');
        await skopeo([...copy, ...from, imageAt(tag), `dir:${join(pulled.path, 'image')}`], onFailure);
      }
    };
    const dockerRounds = async () => {
      for (let round = 0; round < rounds || kills.length < leastKills; round += 1) {
        const repository = `load/docker-${round}`;
        byDocker.push({ repository, digest: await docker.roundTrip(repository, 'v1') });
      }
    };
    try {
      await Promise.all([...skopeos.map(client), dockerRounds()]);
    } finally {
      isOver = true;
      await killing;
    }
    assert.ok(kills.length >= leastKills, `${kills.length} kills`);
    const commands = 2 * (tags.length + byDocker.length);
    t.diagnostic(`${kills.length} kills; ${failed.length} runs of ${commands} commands failed and were run again`);
    const others = failed.filter(
      ({ startMs, endMs }) => !kills.some(({ fromMs, toMs }) => startMs - noticedMs <= toMs && fromMs <= endMs),
    );
    assert.deepEqual(others, [], 'these failed without a kill');
    assert.ok(failed.length <= kills.length * clients, `${failed.length} failed runs`);
    const reader = direct(0);
    for (const tag of tags) {
      const answer = await reader.manifest('load/app', tag);
      assert.ok(isWhole(answer, digests.multi), tag);
    }
    for (const { repository, digest } of byDocker) assert.ok(isWhole(await reader.manifest(repository, 'v1'), digest));
  });

  test('F-14: a server that stood still while its upload was taken over does not write when it wakes', async () => {
    const blob = blobSeed(2_000_000);
    const bytes = bytesOf(blob);
    const [one, two] = [direct(0), direct(1)];
    const location = pathOf(await one.openUpload('shared/pause', bytes.subarray(0, 1_000_000)));
    // Takes the upload and waits for bytes that come late.
    const slow = one.call('PATCH', location, {
      body: bytes.subarray(1_000_000),
      timeoutMs: 60_000,
      headers: { 'content-length': bytes.length - 1_000_000 + 1_000 },
    });
    slow.catch(() => {});
    await sleep(500);
    server(0).signal('SIGSTOP');
    try {
      const startMs = performance.now();
      let status = 0;
      while (status !== 201 && performance.now() - startMs < 45_000) {
        const path = `${location}?digest=${blob.digest}`;
        ({ status } = await two.call('PUT', path, { body: bytes.subarray(1_000_000) }));
        if (status !== 201) await sleep(500);
      }
      assert.equal(status, 201);
      assert.ok(performance.now() - startMs < 35_000, 'the hold passed on within 30 s');
    } finally {
      server(0).signal('SIGCONT');
    }
    await sleep(1_000);
    assert.ok(isWhole(await two.blob('shared/pause', blob.digest), blob.digest));
    one.close();
  });
});

/** As a pipeline does it. */
async function skopeo(args: readonly string[], onFailure: (startMs: number) => void): Promise<void> {
  for (let left = moreRuns; left > 0; left -= 1) {
    const startMs = performance.now();
    if ((await tryRun('skopeo', args)).code === 0) return;
    onFailure(startMs);
    await sleep(pauseMs);
  }
  await run('skopeo', args);
}

/** Without the origin: the next server is asked for the same path. */
function pathOf(location: string): string {
  const { pathname, search } = new URL(location, 'http://localhost');
  return pathname + search;
}
