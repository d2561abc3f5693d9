import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBerth } from '../support/berth-server.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, imageOf } from './content.ts';
import { type Answer, RegistryClient } from './registry-client.ts';

const writers = 4;
const restarts = 3;
/** Once PostgreSQL is back. */
const mostMsAway = 5_000;

test('F-13: PostgreSQL crashes under load: no confirmed push is lost, and the server goes on by itself', async () => {
  await using cluster = await startPostgresCluster();
  const env = { BERTH_MASTER_KEY: randomBytes(32).toString('base64') };
  await using server = await startBerth({ databaseUrl: cluster.url, env });
  const { pid } = server;
  const client = new RegistryClient(server.http, server.admin);
  const config = blobSeed(100);
  await client.pushBlob('load/app', config);

  const confirmed = new Map<string, string>();
  const refusals: Answer[] = [];
  let isOver = false;
  let lastSuccess = performance.now();
  let longestMs = 0;
  const write = async (writer: number) => {
    for (let number = 0; !isOver; number += 1) {
      const manifest = imageOf([config]);
      const tag = `w${writer}-${number}`;
      const headers = { 'content-type': manifest.mediaType };
      const answer = await client.call('PUT', `/v2/load/app/manifests/${tag}`, { body: manifest.text, headers });
      if (answer.status !== 201) {
        refusals.push(answer);
        await sleep(50);
        continue;
      }
      confirmed.set(tag, manifest.digest);
      longestMs = Math.max(longestMs, performance.now() - lastSuccess);
      lastSuccess = performance.now();
    }
  };
  const all = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  const pulls = { wrong: 0 };
  for (let restart = 0; restart < restarts; restart += 1) {
    await sleep(1_500);
    await waitFor('there is load', 120_000, () => confirmed.size > 40 * (restart + 1));
    const before = confirmed.size;
    cluster.crash();
    // How long PostgreSQL itself takes is not the server's doing.
    lastSuccess = performance.now();
    await waitFor('pushes go on', 60_000, () => confirmed.size > before + writers);
  }
  isOver = true;
  await all;

  for (const [tag, digest] of confirmed) {
    const answer = await client.manifest('load/app', tag);
    if (answer.headers['docker-content-digest'] !== digest) pulls.wrong += 1;
  }
  assert.equal(pulls.wrong, 0, `of ${confirmed.size} confirmed`);
  assert.ok(confirmed.size > 100);
  for (const { status, headers } of refusals) {
    assert.equal(status, 503);
    assert.ok(Number(headers['retry-after']) > 0, 'a refusal says when to come back');
  }
  assert.ok(longestMs < mostMsAway, `no push for ${Math.round(longestMs)} ms`);
  assert.equal(server.pid, pid);
  assert.ok(server.running);
  client.close();
});

test('F-13: without its database the server says so, keeps running, and is ready again once it is back', async () => {
  await using cluster = await startPostgresCluster();
  const env = { BERTH_MASTER_KEY: randomBytes(32).toString('base64') };
  await using server = await startBerth({ databaseUrl: cluster.url, env });
  const client = new RegistryClient(server.http, server.admin);
  const config = blobSeed(100);
  await client.pushBlob('load/app', config);
  cluster.stop();
  const startMs = performance.now();
  const refused = await client.call('GET', `/v2/load/app/blobs/${config.digest}`);
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers['retry-after']) > 0);
  assert.ok(performance.now() - startMs < 7_000);
  assert.equal((await client.call('GET', '/healthz')).status, 200);
  assert.equal((await client.call('GET', '/readyz')).status, 503);
  cluster.start();
  await waitFor('the server is ready again', 5_000, async () => (await client.call('GET', '/readyz')).status === 200);
  assert.equal((await client.blob('load/app', config.digest)).status, 200);
  client.close();
});
