import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration } from './duration.ts';

const good: readonly [text: string, ms: number][] = [
  ['0s', 0],
  ['500ms', 500],
  ['90s', 90_000],
  ['5m', 300_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['1h30m', 5_400_000],
  ['1d2h3m4s5ms', 93_784_005],
];

const bad = ['', '1', 's', '-1s', '1.5h', '1 h', '1H', '1h ', '1h30', '1w', '1hm', '1h\n', '1234567890s'];

for (const [text, ms] of good) {
  test(`${text} is a duration`, () => assert.equal(parseDuration(text), ms));
}

for (const text of bad) {
  test(`${JSON.stringify(text)} is no duration`, () => assert.throws(() => parseDuration(text), RangeError));
}
