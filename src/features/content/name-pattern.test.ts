import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { matchesPattern } from './name-pattern.ts';

const cases: readonly [pattern: string, name: string, isMatch: boolean][] = [
  ['*', '', true],
  ['*', 'any/thing', true],
  ['', '', true],
  ['', 'a', false],
  ['v*', 'v1.2', true],
  ['v*', 'v', true],
  ['v*', 'rv1', false],
  ['prod/*', 'prod/team/app', true],
  ['prod/*', 'prod', false],
  ['*-rc*', 'v1-rc2', true],
  ['*-rc', 'v1-rc2', false],
  ['*-rc', 'v1-rc-rc', true],
  ['a*b*c', 'aXbYbZc', true],
  ['a*b*c', 'acb', false],
  ['1.2', '1x2', false],
  ['**', 'x', true],
  ['a**', 'a', true],
];

for (const [pattern, name, isMatch] of cases)
  test(`${pattern} ${isMatch ? 'matches' : 'does not match'} ${name}`, () => {
    assert.equal(matchesPattern(pattern, name), isMatch);
  });

test('a pattern of many stars takes no longer than its length asks for', () => {
  const tookMs = cpuMsOf(() => assert.equal(matchesPattern(`${'*a'.repeat(127)}b`, 'a'.repeat(255)), false));
  assert(tookMs < 50, `${tookMs} ms`);
});
