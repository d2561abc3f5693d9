import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type OutgoingHttpHeaders, request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, bytesOf } from './content.ts';
import { count } from './length.ts';
import { isWhole, RegistryClient, UnexpectedStatus } from './registry-client.ts';
import { Trial } from './trial.ts';

type Tally = { done: number; turnedAway: number; readonly failed: string[] };

test('F-33: a stop under load fails no request that the server took, and ends with 0', async (t) => {
  await using trial = new Trial();
  for (let round = 0; round < count(2, 20); round += 1) {
    const server = await trial.start();
    const blob = blobSeed(2_000_000);
    await trial.client.pushBlob('stopped', blob);
    const tally: Tally = { done: 0, turnedAway: 0, failed: [] };
    const stop = new AbortController();
    const client = new RegistryClient(server.http, server.admin, 'new');
    const isTaken = (id: string) => server.log().includes(id);
    const pull = async (headers: OutgoingHttpHeaders) => {
      const answer = await client.call('GET', `/v2/stopped/blobs/${blob.digest}`, { headers });
      if (!isWhole(answer, blob.digest)) throw new UnexpectedStatus('a pull', answer);
    };
    const push = async (headers: OutgoingHttpHeaders) => {
      const pushed = blobSeed(500_000);
      const path = `/v2/stopped/blobs/uploads/?digest=${pushed.digest}`;
      await client.expect(201, 'POST', path, { body: bytesOf(pushed), headers });
    };
    const clients = [pull, pull, pull, pull, push, push].map((work) => repeat(stop.signal, tally, work, isTaken));
    await waitFor('the clients are at work', 60_000, () => tally.done > 10);
    const slow = await slowPush(trial);
    await sleep(500);
    const code = await server.stop();
    await slow.answered;
    stop.abort();
    await Promise.all(clients);
    assert.equal(code, 0);
    assert.deepEqual(tally.failed, []);
    t.diagnostic(`${tally.done} requests done, ${tally.turnedAway} turned away`);
  }
  await trial.start();
  await trial.verifyClean();
});

/** A push that the server has taken, and that is in flight for two seconds, whatever comes. */
async function slowPush(trial: Trial): Promise<{ readonly answered: Promise<void> }> {
  const blob = blobSeed(200_000);
  const bytes = bytesOf(blob);
  const { username, password } = trial.server.admin;
  const outgoing = request(`${trial.server.http}/v2/stopped/blobs/uploads/?digest=${blob.digest}`, {
    method: 'POST',
    auth: `${username}:${password}`,
    headers: { 'content-length': bytes.length, expect: '100-continue' },
  });
  const response = once(outgoing, 'response');
  outgoing.flushHeaders();
  await once(outgoing, 'continue');
  const send = async () => {
    for (let part = 0; part < 10; part += 1) {
      outgoing.write(bytes.subarray(part * 20_000, (part + 1) * 20_000));
      await sleep(200);
    }
    outgoing.end();
    const [answer] = await response;
    assert.equal(answer.statusCode, 201);
  };
  return { answered: send() };
}

/**
 * Each request has an id by which the server's log knows it. One that broke and is not there was not taken: the system closes
 * connections that wait to be accepted when a server stops listening, and clients ask the next server.
 */
async function repeat(
  signal: AbortSignal,
  tally: Tally,
  work: (headers: OutgoingHttpHeaders) => Promise<void>,
  isTaken: (id: string) => boolean,
): Promise<void> {
  while (!signal.aborted) {
    const id = randomUUID();
    try {
      await work({ 'x-ms-correlation-request-id': id });
      tally.done += 1;
    } catch (error) {
      // The line about a broken request comes when its connection is gone.
      await sleep(100);
      if (error instanceof UnexpectedStatus || isTaken(id)) tally.failed.push(String(error));
      else tally.turnedAway += 1;
    }
  }
}
