import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { LeaseLost } from '../../src/client/agent-client.ts';
import type { RunOrder } from '../../src/wire/builds/agent-protocol.ts';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { waitFor } from '../support/wait-for.ts';
import { count } from './length.ts';
import { agentsOf, leftOf, printedLines, processesThat, roomsOf, scheduleLongBuild } from './running-build.ts';

// F-22 and F-23: agents and servers that die while runs are under way. The agents are the test, over the real protocol; then
// the agent of the server does a real build.

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

// They wait for leases to end: at the same time.
describe('what had a run is killed', { concurrency: true }, () => {
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

  test('F-22: the agent of a server, in the middle of a build: the run begins again, and is done', async () => {
    await using server = await startBerth();
    const { runId, room } = await beginBuild(server);
    for (const pid of agentsOf(server)) process.kill(pid, 'SIGKILL');
    await waitFor('its programs end with it', 20_000, () => programsIn(room).length === 0);
    await waitFor('the run is back, or at work again', 60_000, () => isBegunAgain(server, runId));
    await waitFor('nothing is left', 60_000, async () => (await leftOf(server, room)).length === 0);
    await succeeds(server, runId);
    assertTwice(await logOf(server, runId));
  });

  test('F-22: the builder: the run is failed and says so', async () => {
    await using server = await startBerth();
    const { runId, room } = await beginBuild(server);
    const seen = printedIn(await logOf(server, runId));
    const builders = processesThat(({ words, groups }) => groups.includes(`/${room}`) && words[0] === 'buildah');
    assert(builders.length > 0, `there is no builder in ${room}`);
    for (const pid of builders) process.kill(pid, 'SIGKILL');
    await waitFor('the run has failed', 60_000, async () => (await show(server, runId)).status === 'Failed');
    assert.match((await show(server, runId)).runErrorMessage ?? '', /exit status 137/);
    const log = await logOf(server, runId);
    assertWhole(printedIn(log), seen.length);
    assert.match(log, /Run ID: \w+ failed after \d+s\. Error: [^\r]*exit status 137\r\n$/);
    await waitFor('nothing is left', 60_000, async () => (await leftOf(server, room)).length === 0);
  });

  test('F-23: the server of the agent: the next one has the run begin again, and is done', async () => {
    const first = await startBerth();
    let server = first;
    try {
      const { runId, room } = await beginBuild(server);
      await server.kill();
      await waitFor('the agent ends with it', 20_000, () => agentsOf(first).length === 0);
      await waitFor('its programs end with it', 20_000, () => programsIn(room).length === 0);
      server = await startBerth(server.again);
      await waitFor('the run is back, or at work again', 60_000, () => isBegunAgain(server, runId));
      await waitFor('nothing is left', 60_000, async () => (await leftOf(server, room)).length === 0);
      await succeeds(server, runId);
      assertTwice(await logOf(server, runId));
    } finally {
      await server.stop();
      await first.remove();
    }
  });

  for (const how of ['goes on', 'is killed', 'starts again'] as const)
    test(`a build that is cancelled while its server ${how} leaves nothing after a minute`, async () => {
      const first = await startBerth();
      let server = first;
      try {
        const { runId, room } = await beginBuild(server);
        await (await armCaller(server)).post(`runs/${runId}/cancel`);
        if (how === 'is killed') await server.kill();
        if (how === 'starts again') await server.stop();
        if (how !== 'goes on') server = await startBerth(server.again);
        await waitFor('the run is cancelled', 60_000, async () => (await show(server, runId)).status === 'Canceled');
        // An agent sweeps what another left; without runs there is none, so the next one does.
        if (how !== 'goes on') await scheduleLongBuild(server, 'echo done');
        await waitFor('nothing is left', 60_000, async () => (await leftOf(server, room)).length === 0);
        const log = await logOf(server, runId);
        assertWhole(printedIn(log), 8);
        assert.match(log, /Run ID: \w+ was canceled after \d+s\r\n$/);
      } finally {
        await server.stop();
        await first.remove();
      }
    });
});

/** A build of the server's own agent that has printed some of its lines. */
async function beginBuild(server: BerthServer): Promise<{ readonly runId: string; readonly room: string }> {
  const runId = await scheduleLongBuild(server);
  const begun = async () => printedIn(await logOf(server, runId)).length >= 8;
  await waitFor(`the build prints\n${server.log()}`, 60_000, begun);
  const [room = assert.fail('the run has no room'), ...others] = roomsOf(server);
  assert.deepEqual(others, []);
  return { runId, room };
}

const programsIn = (room: string) => processesThat(({ groups }) => groups.includes(`/${room}`));
const isBegunAgain = async (server: BerthServer, runId: string) => /begins again/.test(await logOf(server, runId));
const succeeds = async (server: BerthServer, runId: string) =>
  await waitFor('the run succeeds', 60_000, async () => (await show(server, runId)).status === 'Succeeded');
const printedIn = (log: string) => [...log.matchAll(/^line (\d+)\r$/gm)].map(([, line]) => Number(line));

/** No line is missing, and none is there twice. */
function assertWhole(printed: readonly number[], atLeast: number): void {
  assert(printed.length >= atLeast, `${printed.length} lines, ${atLeast} had been seen`);
  assert.deepEqual(
    printed,
    printed.map((_, index) => index),
  );
}

/** What the first attempt had printed, and then all of the second. */
function assertTwice(log: string): void {
  const [before = '', after = ''] = log.split(/The agent \S+ that had the run was lost: the run begins again\r\n/);
  assertWhole(printedIn(before), 8);
  assert(printedIn(before).length < printedLines);
  assertWhole(printedIn(after), printedLines);
  assert.match(after, /Run ID: \w+ was successful after \d+s\r\n$/);
}

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
