import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTag, parseReference, parseTag } from './reference.ts';

const digest = `sha256:${'a1'.repeat(32)}`;

const goodTags = ['latest', 'v1.0.0', '_x', 'A', '0', '1.2-rc.1', `sha256-${'a1'.repeat(32)}.sig`, 'a'.repeat(128)];

const badTags: readonly [why: string, text: string][] = [
  ['empty', ''],
  ['a dot first', '.hidden'],
  ['a dash first', '-x'],
  ['the folder above', '..'],
  ['a slash', 'a/b'],
  ['a backslash', 'a\\b'],
  ['a space', 'a b'],
  ['a plus sign', 'v1+build'],
  ['a percent sign', 'a%41'],
  ['NUL', 'a\0'],
  ['a line break at the end', 'latest\n'],
  ['a letter outside ASCII', 'é'],
  ['too long', 'a'.repeat(129)],
  ['huge', 'a'.repeat(1_000_000)],
];

for (const text of goodTags) {
  test(`${text.slice(0, 40)} is a tag`, () => {
    assert.equal(isTag(text), true);
    assert.deepEqual(parseReference(text), { kind: 'tag', tag: text });
  });
}

for (const [why, text] of badTags) {
  test(`a tag is refused: ${why}`, () => {
    assert.equal(isTag(text), false);
    assert.throws(() => parseTag(text), { error: 'tagInvalid' });
    assert.throws(() => parseReference(text), { error: 'tagInvalid' });
  });
}

test('a reference with a digest names a manifest by it', () => {
  assert.deepEqual(parseReference(digest), { kind: 'digest', digest });
});

const badDigests = [
  'sha256:',
  'sha256:abc',
  ':',
  'a:b',
  `md5:${'a'.repeat(32)}`,
  `${digest}x`,
  `SHA256:${'a1'.repeat(32)}`,
];

for (const text of badDigests) {
  test(`${text.slice(0, 20)} is a malformed digest, no tag`, () => {
    assert.throws(() => parseReference(text), { error: 'digestInvalid' });
  });
}
