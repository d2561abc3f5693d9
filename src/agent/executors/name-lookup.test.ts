import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { test } from 'node:test';
import { createNameLookup } from './name-lookup.ts';

test('names are found as other programs find them, addresses are what they are, and others are not there', async () => {
  const find = createNameLookup();
  const own = await lookup('localhost', { all: true });
  assert.deepEqual((await find('localhost')).toSorted(), own.map(({ address }) => address).toSorted());
  assert.deepEqual(await find('192.0.2.1'), ['192.0.2.1']);
  assert.deepEqual(await find('2001:db8::1'), ['2001:db8::1']);
  for (const name of ['nobody.invalid', '--help', '-V', '']) assert.deepEqual(await find(name), [], name);
});
test('a name server that never answers costs those who ask it, and few of them at a time', async () => {
  const find = createNameLookup({ program: ['sleep'], maxAtOnce: 2, timeoutMs: 500 });
  const began = performance.now();
  const asked = Array.from({ length: 4 }, () => assert.rejects(find('100'), /100 was not found within 0.5 seconds/));
  // Files and names of everybody else are looked up meanwhile.
  await lookup('localhost');
  const lookedMs = performance.now() - began;
  await Promise.all(asked);
  const tookMs = performance.now() - began;
  assert.ok(tookMs > 900, `two after two: ${tookMs} ms`);
  assert.ok(lookedMs < tookMs, `${lookedMs} ms`);
});
