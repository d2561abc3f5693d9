import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { keepName } from './kept-name.ts';

test('a name is kept by one at a time', async () => {
  const name = randomUUID();
  const first = await keepName(name);
  assert.ok(first !== undefined);
  assert.equal(await keepName(name), undefined);
  first[Symbol.dispose]();
  using second = await keepName(name);
  assert.ok(second !== undefined);
});

test('a name that cannot be had is not taken for one that another has', async () => {
  await assert.rejects(keepName('x'.repeat(200)), { syscall: 'listen' });
});
