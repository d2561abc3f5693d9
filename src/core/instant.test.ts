import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseInstant } from './instant.ts';

const begin = Date.UTC(2030, 0, 31, 12) * 1_000;

test('an instant is as fine as events have it', () => {
  for (const [text, micros] of [
    ['2030-01-31T12:00Z', 0],
    ['2030-01-31T12:00:00Z', 0],
    ['2030-01-31T13:00:00.5+01:00', 500_000],
    ['2030-01-31T12:00:00.123456Z', 123_456],
    ['2030-01-31T12:00:00.000001Z', 1],
    ['2030-01-31T12:00:00.1234569Z', 123_456],
  ] as const)
    assert.equal(parseInstant(text), begin + micros, text);
});

test('what names no instant is none', () => {
  for (const text of ['', '2030-01-31', '2030-01-31T12:00:00', '2030-13-31T12:00:00Z', '2030-01-31T12:00.5Z', 'now'])
    assert.equal(parseInstant(text), undefined, text);
});
