import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteSizeText, parseByteSize } from './byte-size.ts';

const good: readonly [text: string, bytes: number][] = [
  ['0B', 0],
  ['4096B', 4096],
  ['64KiB', 65_536],
  ['1MiB', 1_048_576],
  ['200GiB', 214_748_364_800],
  ['5TiB', 5_497_558_138_880],
];

const bad = ['', '1', 'KiB', '-1B', '1.5GiB', '1 GiB', '1GB', '1gib', '1e3B', '0x1B', '1KiB\n', '1234567890B', '١B'];

for (const [text, bytes] of good) {
  test(`${text} is a size`, () => assert.equal(parseByteSize(text), bytes));
}

for (const text of bad) {
  test(`${JSON.stringify(text)} is no size`, () => assert.throws(() => parseByteSize(text), RangeError));
}

test('a size is written in the largest unit that holds it whole', () => {
  assert.deepEqual([0, 1_000, 1_536, 64 * 1024, 2 * 1024 ** 4].map(byteSizeText), [
    '0B',
    '1000B',
    '1536B',
    '64KiB',
    '2TiB',
  ]);
});
