import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HotBlobs } from './hot-blobs.ts';

/** For four blobs of 10,000 bytes, with what each takes beside them. */
const budgetBytes = 4 * 11_100;
const bytesOf = (key: string, sizeBytes: number) => Buffer.alloc(sizeBytes, key);

/** As a read of the whole blob does; whether it came from memory. */
function read(hot: HotBlobs, key: string, sizeBytes = 10_000): boolean {
  const held = hot.hold(key);
  if (held !== undefined) {
    assert.deepEqual(held.bytes, bytesOf(key, sizeBytes));
    held.release();
    return true;
  }
  const filling = hot.fill(key, sizeBytes);
  filling?.add(bytesOf(key, sizeBytes));
  filling?.end();
  return false;
}

test('a blob is in memory from its second read on', () => {
  const hot = new HotBlobs(budgetBytes);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => read(hot, 'a')),
    [false, false, true, true],
  );
});

test('a blob takes the place only of those that are read less often', () => {
  const hot = new HotBlobs(budgetBytes);
  for (const key of ['a', 'b', 'c', 'd']) for (const _ of [1, 2, 3]) read(hot, key);
  for (const _ of [1, 2, 3]) read(hot, 'e');
  assert.ok(read(hot, 'a'), 'read as often as the new one');
  for (const _ of [1, 2]) read(hot, 'e');
  assert.ok(read(hot, 'e'));
  assert.ok(!read(hot, 'b'));
});

test('what is not read any more makes room, however often it was read', () => {
  const hot = new HotBlobs(budgetBytes);
  for (const key of ['a', 'b', 'c', 'd']) for (const _ of Array.from({ length: 2_000 })) read(hot, key);
  for (const _ of Array.from({ length: 20_000 })) read(hot, 'other', 20_000);
  for (const _ of [1, 2]) read(hot, 'e');
  assert.ok(read(hot, 'e'));
});

test('what is being sent keeps its place', () => {
  const hot = new HotBlobs(budgetBytes);
  const held = ['a', 'b', 'c', 'd'].map((key) => {
    for (const _ of [1, 2]) read(hot, key);
    return hot.hold(key);
  });
  for (const _ of Array.from({ length: 9 })) assert.ok(!read(hot, 'e'));
  held[0]?.release();
  held[0]?.release();
  read(hot, 'e');
  assert.ok(read(hot, 'e'));
  held[1]?.release();
});

test('a blob larger than a quarter of the memory stays out', () => {
  const hot = new HotBlobs(budgetBytes);
  for (const _ of [1, 2, 3]) assert.ok(!read(hot, 'large', 12_000));
});

test('a read that ends early leaves nothing, and its room is free again', () => {
  const hot = new HotBlobs(budgetBytes);
  for (const _ of Array.from({ length: 20 })) {
    assert.equal(hot.hold('a'), undefined);
    const filling = hot.fill('a', 10_000);
    filling?.add(bytesOf('a', 9_999));
    filling?.end();
    filling?.end();
  }
  read(hot, 'a');
  assert.ok(read(hot, 'a'));
});

test('one read fills at a time', () => {
  const hot = new HotBlobs(budgetBytes);
  for (const _ of [1, 2]) hot.hold('a');
  assert.ok(hot.fill('a', 10_000));
  assert.equal(hot.fill('a', 10_000), undefined);
});

test('what small blobs take beside their bytes counts too', () => {
  const hot = new HotBlobs(budgetBytes);
  const keys = Array.from({ length: 1_000 }, (_, at) => `small${at}`);
  for (const key of keys) for (const _ of [1, 2]) read(hot, key, 1);
  assert.ok(keys.filter((key) => read(hot, key, 1)).length <= budgetBytes / 1_000);
});

test('without memory nothing is kept', () => {
  const hot = new HotBlobs(0);
  for (const _ of [1, 2, 3]) assert.ok(!read(hot, 'a'));
});
