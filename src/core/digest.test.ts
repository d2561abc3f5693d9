import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithmOf, digestOf, isDigest, parseDigest } from './digest.ts';

const hex64 = 'a1'.repeat(32);
const hex128 = 'a1'.repeat(64);

const good = [`sha256:${hex64}`, `sha512:${hex128}`, `sha256:${'0'.repeat(64)}`];

const bad: readonly [why: string, text: string][] = [
  ['empty', ''],
  ['no algorithm', hex64],
  ['empty algorithm', `:${hex64}`],
  ['empty hex', 'sha256:'],
  ['too short', `sha256:${hex64.slice(1)}`],
  ['too long', `sha256:${hex64}0`],
  ['the length of the other algorithm', `sha256:${hex128}`],
  ['the length of the other algorithm, shorter', `sha512:${hex64}`],
  ['upper-case hex', `sha256:${hex64.toUpperCase()}`],
  ['upper-case algorithm', `SHA256:${hex64}`],
  ['not hex', `sha256:${'g'.repeat(64)}`],
  ['an algorithm we do not store', `sha384:${'a'.repeat(96)}`],
  ['a broken algorithm', `md5:${'a'.repeat(32)}`],
  ['a name of Object.prototype', `constructor:${hex64}`],
  ['two colons', `sha256::${hex64}`],
  ['a second algorithm', `sha256:sha256:${hex64}`],
  ['a dash for the colon', `sha256-${hex64}`],
  ['white space before', ` sha256:${hex64}`],
  ['a line break after', `sha256:${hex64}\n`],
  ['a line break for the last digit', `sha256:${hex64.slice(1)}\n`],
  ['NUL within', `sha256:${hex64.slice(1)}\0`],
  ['digits of another script', `sha256:${'\u0661'.repeat(64)}`],
  ['a path', `sha256:${'../'.repeat(21)}a`],
  ['huge', `sha256:${'a'.repeat(1_000_000)}`],
];

for (const text of good) {
  test(`${text.slice(0, 20)}… is a digest`, () => {
    assert.equal(isDigest(text), true);
    assert.equal(parseDigest(text), text);
  });
}

for (const [why, text] of bad) {
  test(`a digest is refused: ${why}`, () => {
    assert.equal(isDigest(text), false);
    assert.throws(() => parseDigest(text), { error: 'digestInvalid' });
  });
}

test('the detail of a refused digest is short', () => {
  assert.throws(() => parseDigest('a'.repeat(1_000_000)), { detail: { digest: 'a'.repeat(135) } });
});

test('a digest tells its algorithm', () => {
  assert.equal(algorithmOf(parseDigest(`sha256:${hex64}`)), 'sha256');
  assert.equal(algorithmOf(parseDigest(`sha512:${hex128}`)), 'sha512');
});

test('a digest is put together from algorithm and hex', () => {
  assert.equal(digestOf('sha512', hex128), `sha512:${hex128}`);
  assert.throws(() => digestOf('sha512', hex64), { error: 'digestInvalid' });
});
