import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { freePort } from '../support/free-port.ts';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed } from './content.ts';
import { Disk } from './disk.ts';
import { count } from './length.ts';
import { childrenOf, isAlive } from './processes.ts';
import { Trial } from './trial.ts';

const kills = count(5, 100);
const settings = { workers: '2' };
/** Deletes, and what goes with them, are for `kill.test.ts`. */
const load = { pushers: 10, pullers: 5, deleters: 0 };

test(`F-01: ${kills} kills of one of two workers lose nothing, and another takes its place`, async (t) => {
  await using trial = new Trial({ settings });
  const { pid } = await trial.start();
  const killWorkers = async () => {
    // The server answers as soon as one of them does.
    await begun(trial.server, 2);
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(randomInt(500, 1_500));
      const workers = childrenOf(pid);
      const worker = workers[randomInt(workers.length)];
      assert.ok(worker !== undefined, 'there are workers');
      process.kill(worker, 'SIGKILL');
      await begun(trial.server, 2 + kill + 1);
    }
  };
  await trial.loadDuring(killWorkers, load);
  t.diagnostic(JSON.stringify(await trial.verify()));
  await trial.verifyClean();
});

test('F-01: with the primary process its workers end, and the folder is free', async () => {
  await using trial = new Trial({ settings });
  const first = await trial.start();
  await begun(first, 2);
  const workers = childrenOf(first.pid);
  await trial.loadDuring(async (server) => {
    await sleep(1_000);
    await server.kill();
  }, load);
  await waitFor('the workers are gone', 20_000, () => workers.every((pid) => !isAlive(pid)));
  await trial.start();
  await trial.verify();
});

test('F-03: a power loss under two workers loses nothing that was acknowledged', async () => {
  await using disk = await Disk.create('ext4', 1_024);
  await using trial = new Trial({ place: disk.path, settings });
  await trial.start();
  for (let cycle = 0; cycle < count(1, 50); cycle += 1) {
    const { pid } = trial.server;
    // The server answers as soon as one of them does.
    await waitFor('there are two workers', 60_000, () => childrenOf(pid).length === 2);
    const workers = childrenOf(pid);
    await trial.loadDuring(async (server) => {
      await sleep(randomInt(500, 2_000));
      await disk.losePower(() => trial.history.faultBegins({ isDoubtful: true }));
      await server.kill();
    }, load);
    await waitFor('the workers are gone', 20_000, () => workers.every((pid) => !isAlive(pid)));
    await disk.unmount();
    await disk.mount();
    await trial.start();
  }
  await trial.verify();
  await trial.verifyClean();
});

test('SIGTERM ends both workers, with code 0 and nothing left open', async () => {
  await using trial = new Trial({ settings });
  const { pid } = await trial.start();
  await begun(trial.server, 2);
  const workers = childrenOf(pid);
  await trial.client.pushBlob('workers', blobSeed(1_000));
  assert.equal(await trial.server.stop(), 0);
  assert.equal(workers.length, 2);
  assert.ok(workers.every((worker) => !isAlive(worker)));
});

test('the metrics are those of both workers, whichever is asked', async () => {
  await using server = await startBerth({ settings, database: 'sqlite' });
  await begun(server, 2);
  const asked = 20;
  // A connection each, which the workers get in turn.
  for (let index = 0; index < asked; index += 1)
    await (await fetch(`${server.http}/healthz`, { headers: { connection: 'close' } })).text();
  const counted = async () => {
    const text = await (await fetch(`${server.http}/metrics`, { headers: { connection: 'close' } })).text();
    return Number(
      /berth_http_request_seconds_count\{method="GET",route="\/healthz",status="200"\} (\d+)/.exec(text)?.[1],
    );
  };
  // A request is counted when its answer is out, which may be a moment after the client has it.
  await waitFor('all are counted', 20_000, async () => (await counted()) >= asked);
  assert.equal(await counted(), asked);
});

test('a server whose workers cannot listen does not start, and says why', async () => {
  const ports = { http: await freePort(), https: await freePort() };
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(ports.http, '127.0.0.1', resolve));
  try {
    await assert.rejects(startBerth({ settings, ports, database: 'sqlite' }), /EADDRINUSE/);
  } finally {
    taken.close();
  }
});

/** Each worker that has begun to answer since the server started has a line in its log. */
async function begun(server: BerthServer, workers: number): Promise<void> {
  await waitFor(`${workers} workers have begun to answer`, 120_000, () => {
    return server.log().split('"msg":"a worker answers"').length - 1 >= workers;
  });
}
