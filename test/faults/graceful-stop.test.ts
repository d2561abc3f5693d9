import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { blobSeed, bytesOf, imageOf } from './content.ts';
import { count } from './length.ts';
import { isWhole, RegistryClient } from './registry-client.ts';
import { Trial } from './trial.ts';

type Tally = { done: number; turnedAway: number; readonly failed: string[] };

test('F-33: a stop under load fails no request that the server took, and ends with 0', async (t) => {
  await using trial = new Trial();
  for (let round = 0; round < count(2, 20); round += 1) {
    const server = await trial.start();
    const blob = blobSeed(2_000_000);
    await trial.client.pushBlob('stopped', blob);
    await trial.client.putManifest('stopped', 'v1', imageOf([blob]));
    const tally: Tally = { done: 0, turnedAway: 0, failed: [] };
    const stop = new AbortController();
    // A connection for each request: what a client sends on a kept one while the server closes it is lost to any server.
    const client = new RegistryClient(server.http, server.admin, 'new');
    const pull = async () => {
      if (!isWhole(await client.blob('stopped', blob.digest), blob.digest)) throw new Error('a pull failed');
    };
    const push = () => client.pushBlob('stopped', blobSeed(500_000), 'one request');
    const clients = [pull, pull, pull, pull, push, push].map((work) => until(stop.signal, tally, work));
    const slow = slowPush(trial);
    await sleep(500);
    const code = await server.stop();
    await slow;
    stop.abort();
    await Promise.all(clients);
    assert.equal(code, 0);
    assert.deepEqual(tally.failed, []);
    assert.ok(tally.done > 10);
    t.diagnostic(`${tally.done} requests done, ${tally.turnedAway} turned away once it had stopped`);
  }
  await trial.start();
  await trial.verifyClean();
});

/** A push that is in flight for two seconds, whatever comes. */
async function slowPush(trial: Trial): Promise<void> {
  const blob = blobSeed(200_000);
  const bytes = bytesOf(blob);
  const { username, password } = trial.server.admin;
  const body = async function* () {
    for (let part = 0; part < 10; part += 1) {
      await sleep(200);
      yield bytes.subarray(part * 20_000, (part + 1) * 20_000);
    }
  };
  const answer = await fetch(`${trial.server.http}/v2/stopped/blobs/uploads/?digest=${blob.digest}`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` },
    body: body(),
    duplex: 'half',
  });
  assert.equal(answer.status, 201);
}

async function until(signal: AbortSignal, tally: Tally, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
      tally.done += 1;
    } catch (error) {
      if (isRefusal(error)) {
        tally.turnedAway += 1;
        await sleep(20);
      } else tally.failed.push(String(error));
    }
  }
}

/** Nobody listens any more: the client goes to another server, or tries again. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
}
