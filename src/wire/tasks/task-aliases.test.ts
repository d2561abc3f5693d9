import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { expandAliases, requireAliasName } from './task-aliases.ts';
import { TaskError } from './task-error.ts';

const aliases = new Map([
  ['ID', 'ca1'],
  ['Registry', 'r.example'],
  ['raw', '$ID'],
]);

describe('aliases', () => {
  const table: readonly [string, string][] = [
    ['$Registry/app:$ID', 'r.example/app:ca1'],
    ['$ID2 $IDs', '$ID2 $IDs'],
    ['$ID-$ID', 'ca1-ca1'],
    ['$$ID', '$ID'],
    ['$unknown $-ID $', '$unknown $-ID $'],
    ['$raw', '$ID'],
    ['$ID$ID', 'ca1ca1'],
  ];
  for (const [text, expanded] of table) {
    test(`${text} becomes ${expanded}`, () => assert.equal(expandAliases(text, aliases), expanded));
  }

  test('another directive leaves the dollar alone', () =>
    assert.equal(expandAliases('$ID %ID', aliases, '%'), '$ID ca1'));
  test('a directive is one sign', () => assert.throws(() => expandAliases('x', aliases, 'ab'), TaskError));
  test('a name is letters and digits', () => assert.throws(() => requireAliasName('a-b'), TaskError));
  test('a text that would grow without end is refused', () => {
    const large = new Map([['a', 'x'.repeat(100_000)]]);
    assert.throws(() => expandAliases('$a '.repeat(100), large), TaskError);
  });
});
