import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slotAt, slotsFrom } from './part-slots.ts';

const mebibyte = 1024 * 1024;

test('slots follow each other without a gap, with growing numbers that S3 takes', () => {
  const slots = slotsFrom(0);
  let end = 0;
  for (let index = 0; index < 9_999; index += 1) {
    const slot = slots(index);
    assert.deepEqual(slot, { number: index + 1, start: end, sizeBytes: slot.sizeBytes });
    assert.ok(slot.sizeBytes >= 5 * mebibyte);
    end += slot.sizeBytes;
  }
  assert.ok(end > 300 * 1024 * mebibyte);
  assert.throws(() => slotAt(end), RangeError);
});

test('every byte of a slot lies in it', () => {
  for (const offset of [
    0,
    1,
    5 * mebibyte - 1,
    5 * mebibyte,
    15_000 * mebibyte - 1,
    15_000 * mebibyte,
    90_000 * mebibyte,
  ]) {
    const { start, sizeBytes, number } = slotAt(offset);
    assert.ok(start <= offset && offset < start + sizeBytes);
    assert.deepEqual(slotAt(start), { start, sizeBytes, number });
  }
});
