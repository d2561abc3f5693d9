import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { HeldClock } from './platform/held-clock.ts';
import { systemClock } from './platform/system-clock.ts';
import { memoryGuard, memoryLimitOf, sheddingLoad } from './process-memory.ts';

test('workers share what the setting allows, without what the process that starts them holds', () => {
  assert.equal(memoryLimitOf({ memoryLimit: 500, workers: 1 }), 500);
  assert.equal(memoryLimitOf({ memoryLimit: 480 * 1024 * 1024, workers: 2 }), 200 * 1024 * 1024);
});

test('memory is short above four fifths of the limit, and is looked at ten times a second at most', () => {
  const clock = new HeldClock();
  let resident = 70;
  let looks = 0;
  const guard = memoryGuard(100, clock, () => {
    looks += 1;
    return resident;
  });
  clock.advance(1_000);
  assert.equal(guard.isShort(), false);
  resident = 81;
  assert.equal(guard.isShort(), false);
  clock.advance(100);
  assert.equal(guard.isShort(), true);
  assert.equal(looks, 2);
  assert.equal(memoryGuard(undefined, clock, () => 1e12).isShort(), false);
});

test('while memory is short eight new requests go on, others get 503 with Retry-After, health stays, and room comes back', async () => {
  await using bench = await startBench();
  const slow = await bench.hold(8, '/slow');
  const refused = await bench.ask('/v2/a/blobs/uploads/', { method: 'POST', body: 'x'.repeat(200_000) });
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '5');
  assert.match(await refused.text(), /"UNAVAILABLE"/);
  assert.equal((await bench.ask('/healthz')).status, 200);
  bench.isShort = false;
  assert.equal((await bench.ask('/v2/')).status, 200);
  bench.isShort = true;
  bench.endAll();
  for (const answer of await Promise.all(slow)) assert.equal(await answer.text(), 'late');
  assert.equal((await bench.ask('/v2/')).status, 200);
});

test('what was open before memory became short shuts nobody out', async () => {
  await using bench = await startBench();
  bench.isShort = false;
  const before = await bench.hold(20, '/slow');
  bench.isShort = true;
  const since = await bench.hold(8, '/slow');
  assert.equal((await bench.ask('/v2/')).status, 503);
  bench.endAll();
  await Promise.all([...before, ...since]);
});

test('those who only wait are counted by themselves: they shut out neither work nor each other', async () => {
  await using bench = await startBench();
  const waiting = [
    ...(await bench.hold(8, '/events?from=1')),
    ...(await bench.hold(8, '/agent/v1/lease', { method: 'POST' })),
    ...(await bench.hold(8, '/build-files/logs/a/ca1.log?scid=1', { method: 'HEAD' })),
  ];
  assert.equal((await bench.ask('/events')).status, 503);
  assert.equal((await bench.ask('/agent/v1/lease', { method: 'POST' })).status, 503);
  assert.equal((await bench.ask('/build-files/logs/a/ca2.log', { method: 'HEAD' })).status, 503);
  for (const path of ['/v2/', '/agent/v1/leases/a/heartbeat', '/build-files/logs/a/ca1.log'])
    assert.equal((await bench.ask(path)).status, 200);
  bench.endAll();
  await Promise.all(waiting);
});

/** A server that is short of memory; it answers at once, but for what is held. */
async function startBench() {
  let isHolding = false;
  const held: (() => void)[] = [];
  const bench = {
    isShort: true,
    ask: (path: string, init?: RequestInit) => fetch(`${origin}${path}`, init),
    hold: async (count: number, path: string, init?: RequestInit) => {
      isHolding = true;
      const wanted = held.length + count;
      const answers = Array.from({ length: count }, () => bench.ask(path, init));
      while (held.length < wanted) await systemClock.sleep(5);
      isHolding = false;
      return answers;
    },
    endAll: () => {
      for (const end of held.splice(0)) end();
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
  const listener = sheddingLoad(
    (_incoming, outgoing) => {
      if (isHolding) held.push(() => outgoing.end('late'));
      else outgoing.end('at once');
    },
    { isShort: () => bench.isShort },
    systemClock,
  );
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const origin = `http://127.0.0.1:${portOf(server.address())}`;
  return bench;
}

function portOf(address: AddressInfo | string | null): number {
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
