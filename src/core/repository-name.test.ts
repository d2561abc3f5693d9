import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../test/support/cpu-time.ts';
import { isRepositoryName, parseRepositoryName } from './repository-name.ts';

const good = [
  'a',
  '0',
  'app',
  'team/app',
  'a/b/c/d/e/f',
  'a.b',
  'a_b',
  'a__b',
  'a-b',
  'a---b',
  'team-1/app.v2/web__front',
  'blobs',
  'manifests/uploads',
  'v2',
  'tags/list',
  'a'.repeat(255),
];

const bad: readonly [why: string, text: string][] = [
  ['empty', ''],
  ['upper case', 'App'],
  ['a slash first', '/app'],
  ['a slash last', 'app/'],
  ['two slashes', 'a//b'],
  ['a dot alone', '.'],
  ['the folder above', '..'],
  ['the folder above, inside', 'a/../b'],
  ['a dot first', '.a'],
  ['a dot last', 'a.'],
  ['two dots', 'a..b'],
  ['a dash first', '-a'],
  ['a dash last', 'a-'],
  ['three underscores', 'a___b'],
  ['an underscore first', '_catalog'],
  ['mixed separators', 'a.-b'],
  ['a separator before a slash', 'a-/b'],
  ['a colon', 'a:b'],
  ['an at sign', 'a@b'],
  ['a space', 'a b'],
  ['a backslash', 'a\\b'],
  ['a percent sign', 'a%2fb'],
  ['NUL', 'a\0b'],
  ['a line break at the end', 'app\n'],
  ['a letter outside ASCII', 'äpp'],
  ['a letter that only looks like one of ours', '\u0430pp'],
  ['too long', 'a'.repeat(256)],
  ['huge', 'a/'.repeat(500_000)],
];

for (const text of good) {
  test(`${text.slice(0, 40)} is a repository name`, () => {
    assert.equal(isRepositoryName(text), true);
    assert.equal(parseRepositoryName(text), text);
  });
}

for (const [why, text] of bad) {
  test(`a repository name is refused: ${why}`, () => {
    assert.equal(isRepositoryName(text), false);
    assert.throws(() => parseRepositoryName(text), { error: 'nameInvalid' });
  });
}

test('a name made to slow the pattern down is answered at once', () => {
  for (const part of ['a-', 'a.', 'a__', 'a/', '-', 'a'.repeat(5)]) {
    const tookMs = cpuMsOf(() => assert.equal(isRepositoryName(`${part.repeat(255).slice(0, 254)}!`), false));
    assert(tookMs < 1_000, `${part}: ${tookMs} ms`);
  }
});
