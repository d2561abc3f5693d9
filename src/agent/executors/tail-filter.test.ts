import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { TailFilter } from './tail-filter.ts';

const shown = (...chunks: readonly string[]) => {
  const filter = new TailFilter();
  const given = chunks.map((chunk) => Buffer.from(filter.add(Buffer.from(chunk))).toString());
  return [...given, Buffer.from(filter.end()).toString()].join('');
};

test('the last line of a builder whose program failed is left out, also in pieces', () => {
  assert.equal(shown('said\nError: while running runtime: exit status 3\n'), 'said\n');
  assert.equal(shown('said\nError: whi', 'le running'), 'said\nError: while running');
  assert.equal(shown('said\nError: while running run', 'time: exit status 3\n'), 'said\n');
  assert.equal(shown('Error: while running runtime: exit status 3\n'), '');
});
test('the same line of a program is shown, and what follows it as it comes', () => {
  const filter = new TailFilter();
  filter.add(Buffer.from('\nError: while\n'));
  let size = 0;
  const chunk = Buffer.alloc(65_536, 'x');
  const tookMs = cpuMsOf(() => {
    for (let count = 0; count < 512; count += 1) size += filter.add(chunk).byteLength;
  });
  assert.ok(size > 512 * 65_536, 'all of it was shown');
  assert.ok(tookMs < 5_000, `${tookMs} ms`);
});
