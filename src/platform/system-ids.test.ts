import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemIds } from './system-ids.ts';

test('a uid is 26 lower-case letters and digits, and never repeats', () => {
  const uids = Array.from({ length: 1000 }, () => systemIds.uid());
  for (const uid of uids) assert.match(uid, /^[a-z2-7]{26}$/);
  assert.equal(new Set(uids).size, uids.length);
});

test('a guid is a random UUID and bytes are as many as asked for', () => {
  assert.match(systemIds.guid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(systemIds.bytes(32).byteLength, 32);
});
