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

test('while memory is short eight requests go on, others get 503 with Retry-After, health stays, and room comes back', async () => {
  let isShort = true;
  const held: (() => void)[] = [];
  const listener = sheddingLoad(
    (incoming, outgoing) => {
      if (incoming.url === '/slow') held.push(() => outgoing.end('late'));
      else outgoing.end('at once');
    },
    { isShort: () => isShort },
    systemClock,
  );
  const server = createServer(listener).listen(0, '127.0.0.1');
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const origin = `http://127.0.0.1:${portOf(server.address())}`;
    const slow = Array.from({ length: 8 }, () => fetch(`${origin}/slow`));
    while (held.length < 8) await systemClock.sleep(5);
    const refused = await fetch(`${origin}/v2/a/blobs/uploads/`, { method: 'POST', body: 'x'.repeat(200_000) });
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '5');
    assert.match(await refused.text(), /"UNAVAILABLE"/);
    assert.equal((await fetch(`${origin}/healthz`)).status, 200);
    isShort = false;
    assert.equal((await fetch(`${origin}/v2/`)).status, 200);
    isShort = true;
    for (const end of held) end();
    for (const answer of await Promise.all(slow)) assert.equal(await answer.text(), 'late');
    assert.equal((await fetch(`${origin}/v2/`)).status, 200);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

function portOf(address: AddressInfo | string | null): number {
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}
