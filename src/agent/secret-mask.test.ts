import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../test/support/cpu-time.ts';
import { SecretMask } from './secret-mask.ts';

function masked(secrets: readonly string[], ...pieces: readonly string[]): string {
  const mask = new SecretMask(secrets);
  return pieces.map((piece) => mask.add(piece)).join('') + mask.end();
}

test('a secret is hidden, however it is cut', () => {
  const text = 'before s3cret-value after';
  for (let cut = 0; cut <= text.length; cut += 1) {
    assert.equal(masked(['s3cret-value'], text.slice(0, cut), text.slice(cut)), 'before *** after');
  }
  assert.equal(masked(['s3cret-value'], ...text), 'before *** after');
});

test('what only begins like a secret is shown', () =>
  assert.equal(masked(['secret'], 'sec', 'ond', ' secre'), 'second secre'));
test('a secret inside another', () => assert.equal(masked(['abcd', 'xxabcdxx'], '-xxabcdxx-abcd'), '-***-***'));
test('lines of a secret are hidden one by one', () => {
  assert.equal(masked(['first-line\nsecond-line'], 'a first-line\nb second-line'), 'a ***\nb ***');
});
test('a short text is no secret', () => assert.equal(masked(['a', ''], 'banana'), 'banana'));
test('a long secret, however it is cut, and what follows it', () => {
  const long = `${'ab'.repeat(300)}c${'d'.repeat(400)}`;
  for (let cut = 0; cut <= long.length; cut += 7) {
    assert.equal(masked([long, 'short'], `x${long.slice(0, cut)}`, `${long.slice(cut)}y short`), 'x***y ***');
  }
});
test('the time for long secrets grows with the text alone', () => {
  const secrets = ['b', 'c', 'd'].map((letter) => `${'a'.repeat(20_000)}${letter}${'a'.repeat(20_000)}`);
  const tookMs = cpuMsOf(
    () => void masked(secrets, 'a'.repeat(60_000), 'x', `${'a'.repeat(200)}b`.repeat(300), 'x'.repeat(60_000)),
  );
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
});
