import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { LeaseLost } from '../../src/client/agent-client.ts';
import type { RunOrder } from '../../src/wire/builds/agent-protocol.ts';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { waitFor } from '../support/wait-for.ts';
import { count } from './length.ts';

// F-22 and F-23: agents and servers that die while runs are under way. The agents are the test, over the real protocol.

const settings = { builds: 'off' };
const runSchema = z.looseObject({
  name: z.string(),
  properties: z.looseObject({ status: z.string(), runErrorMessage: z.string().nullable() }),
});
const request = { type: 'EncodedTaskRunRequest', encodedTaskContent: Buffer.from('steps: []').toString('base64') };
const lines = count(40, 400);

const show = async (server: BerthServer, runId: string) =>
  runSchema.parse(await (await armCaller(server)).get(`runs/${runId}`)).properties;
const schedule = async (server: BerthServer) =>
  runSchema.parse(await (await armCaller(server)).post('scheduleRun', request)).name;
const logOf = async (server: BerthServer, runId: string) => {
  const answer = await (await armCaller(server)).post(`runs/${runId}/listLogSasUrl`);
  const { pathname, search } = new URL(z.looseObject({ logLink: z.string() }).parse(answer).logLink);
  return await (await fetch(`${server.http}${pathname}${search}`)).text();
};

test('F-22: a run whose agent dies is done by the next one, and is an error when that dies too, within 60 s each', async () => {
  await using server = await startBerth({ settings });
  const runId = await schedule(server);
  const first = await HandAgent.join(server, 'first');
  const order = await first.take();
  await first.client.log(order.lease, 0, Buffer.from('from the first\n'));
  // It says nothing more. The next agent waits for the run.
  const began = Date.now();
  const second = await HandAgent.join(server, 'second');
  const again = await second.take();
  assert(Date.now() - began < 60_000);
  assert.deepEqual([again.runId, again.attempt, again.logOffset], [runId, 2, 15]);
  await assert.rejects(first.client.heartbeat(order.lease), LeaseLost);
  await assert.rejects(
    first.client.finish(order.lease, { status: 'Succeeded', images: [], dependencies: [] }),
    LeaseLost,
  );
  await second.client.heartbeat(again.lease);
  await waitFor('the run is an error', 60_000, async () => (await show(server, runId)).status === 'Error');
  assert.match((await show(server, runId)).runErrorMessage ?? '', /agent second/);
  assert.match(await logOf(server, runId), /^from the first\r\nThe agent first .* begins again\r\nRun ID: .*Error: /);
});

for (const how of ['SIGKILL', 'SIGTERM'] as const)
  test(`F-23: 10 runs go on over a server that ends by ${how}: none lost, no line of a log lost or twice`, async () => {
    const started = await startBerth({ settings });
    let server: BerthServer = started;
    const at = () => server;
    try {
      const ids: string[] = [];
      for (let index = 0; index < 10; index += 1) ids.push(await schedule(server));
      const agents = await Promise.all(ids.map((_, index) => HandAgent.join(at(), `agent-${index}`)));
      const orders = await Promise.all(agents.slice(0, 8).map((agent) => agent.take()));
      const working = orders.map((order, index) => work(agents[index] ?? assert.fail(), order));
      await sleep(500);
      if (how === 'SIGKILL') await server.kill();
      else await server.stop();
      await sleep(1_000);
      server = await startBerth(server.again);
      await Promise.all(working);
      // Those that nobody had when the server ended.
      const rest = await Promise.all(agents.slice(8).map((agent) => agent.take()));
      await Promise.all(rest.map((order, index) => work(agents[8 + index] ?? assert.fail(), order)));
      const taken = [...orders, ...rest].map(({ runId }) => runId);
      assert.deepEqual(taken.toSorted(), ids.toSorted());
      for (const runId of ids) {
        assert.equal((await show(server, runId)).status, 'Succeeded');
        const expected = Array.from({ length: lines }, (_, line) => `${runId} line ${line}`);
        const found = (await logOf(server, runId)).split('\r\n');
        assert.deepEqual(found.slice(0, -2), expected);
      }
    } finally {
      await server.stop();
      await started.remove();
    }
  });

/** Prints one line after the other, whatever happens to the server, as agents do: what was not confirmed is sent again. */
async function work(agent: HandAgent, order: RunOrder): Promise<void> {
  let offset = 0;
  const text = Buffer.from(Array.from({ length: lines }, (_, line) => `${order.runId} line ${line}\n`).join(''));
  const ends = [...text.keys()].filter((index) => text[index] === 10).map((index) => index + 1);
  for (const end of ends) {
    while (offset < end) {
      const answer = await persist(() => agent.client.log(order.lease, offset, text.subarray(offset, end)));
      offset = answer.kind === 'kept' ? end : answer.offset;
    }
    await sleep(20);
  }
  await persist(async () => await agent.finish({ ...order, logOffset: offset }, []));
}

async function persist<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (error instanceof LeaseLost || attempt > 100) throw error;
      await sleep(200);
    }
  }
}
