import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
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
  const ends: string[] = [];
  const asked = Array.from({ length: 4 }, async () => {
    await assert.rejects(find('100'), /100 was not found within 0.5 seconds/);
    ends.push('name');
  });
  // Files are read meanwhile.
  await readFile(import.meta.filename);
  ends.push('file');
  await Promise.all(asked);
  const tookMs = performance.now() - began;
  assert.ok(tookMs > 900, `two after two: ${tookMs} ms`);
  assert.deepEqual(ends, ['file', 'name', 'name', 'name', 'name']);
});
test('a program that cannot tell is no name that is not there', async () => {
  const find = createNameLookup({ program: ['false'], maxAtOnce: 1, timeoutMs: 60_000 });
  await assert.rejects(find('name'), /false: exit status 1/);
  const missing = createNameLookup({ program: ['no-such-program'], maxAtOnce: 1, timeoutMs: 60_000 });
  await assert.rejects(missing('name'), /no-such-program: exit status 127/);
});
