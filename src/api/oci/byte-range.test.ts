import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseContentRange, parseRange, type RangeRequest } from './byte-range.ts';

const part = (start: number, end: number): RangeRequest => ({ kind: 'part', range: { start, end } });
const whole: RangeRequest = { kind: 'whole' };
const unsatisfiable: RangeRequest = { kind: 'unsatisfiable' };

const ranges: readonly [header: string | undefined, sizeBytes: number, expected: RangeRequest][] = [
  [undefined, 10, whole],
  ['', 10, whole],
  ['bytes=0-0', 10, part(0, 1)],
  ['bytes=0-9', 10, part(0, 10)],
  ['bytes=0-', 10, part(0, 10)],
  ['bytes=5-', 10, part(5, 10)],
  ['bytes=9-9', 10, part(9, 10)],
  ['bytes=9-100', 10, part(9, 10)],
  ['bytes=-3', 10, part(7, 10)],
  ['bytes=-10', 10, part(0, 10)],
  ['bytes=-100', 10, part(0, 10)],
  [' bytes=1-2 ', 10, part(1, 3)],
  ['bytes=10-', 10, unsatisfiable],
  ['bytes=10-20', 10, unsatisfiable],
  ['bytes=999999999999999-', 10, unsatisfiable],
  ['bytes=5-4', 10, unsatisfiable],
  ['bytes=-0', 10, unsatisfiable],
  ['bytes=0-', 0, unsatisfiable],
  ['bytes=-5', 0, unsatisfiable],
  ['bytes=0-1,3-4', 10, whole],
  ['bytes=-', 10, whole],
  ['bytes=a-b', 10, whole],
  ['bytes=-1-2', 10, whole],
  ['bytes=0-1-2', 10, whole],
  ['bytes=0x1-2', 10, whole],
  ['bytes=1e3-', 10, whole],
  ['items=0-1', 10, whole],
  ['bytes 0-1', 10, whole],
  ['0-1', 10, whole],
  [`bytes=${'9'.repeat(400)}-`, 10, whole],
];

for (const [header, sizeBytes, expected] of ranges) {
  test(`Range ${header?.slice(0, 40)} of ${sizeBytes} bytes: ${expected.kind}`, () => {
    assert.deepEqual(parseRange(header, sizeBytes), expected);
  });
}

const goodChunks: readonly [header: string, start: number, lengthBytes: number][] = [
  ['0-9', 0, 10],
  ['0-0', 0, 1],
  ['10-19', 10, 10],
  ['bytes 0-9', 0, 10],
  ['bytes 0-9/*', 0, 10],
  ['bytes 0-9/100', 0, 10],
  ['0-9/100', 0, 10],
  [' 0-9 ', 0, 10],
];

for (const [header, start, lengthBytes] of goodChunks) {
  test(`Content-Range ${header} is understood`, () => {
    assert.deepEqual(parseContentRange(header), { start, lengthBytes });
  });
}

const badChunks = [
  '',
  '0',
  '-',
  '0-',
  '-9',
  '9-0',
  '1-0',
  'bytes=0-9',
  'bytes */10',
  '0-9,10-19',
  'a-b',
  '0x0-0x9',
  '1e1-20',
  '0 - 9',
  '0-9/',
  'items 0-9',
  `0-${'9'.repeat(400)}`,
];

for (const header of badChunks) {
  test(`Content-Range "${header.slice(0, 40)}" is refused`, () => {
    assert.throws(() => parseContentRange(header), { error: 'contentRangeInvalid' });
  });
}

test('a request without Content-Range sends a chunk of any length', () => {
  assert.equal(parseContentRange(undefined), undefined);
});
