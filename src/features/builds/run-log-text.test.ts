import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { hiding, withCrlf } from './run-log-text.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe('a log', () => {
  for (const [given, isAfterReturn, expected, isThen] of [
    ['a\nb\n', false, 'a\r\nb\r\n', false],
    ['a\r\nb', false, 'a\r\nb', false],
    ['\nb', true, '\nb', false],
    ['a\r', false, 'a\r', true],
    ['\n\n', false, '\r\n\r\n', false],
    ['', true, '', true],
  ] as const)
    test(`has CRLF at the end of lines: ${JSON.stringify(given)}`, () => {
      const result = withCrlf(Buffer.from(given), isAfterReturn);
      assert.deepEqual([text(result.bytes), result.isAfterReturn], [expected, isThen]);
    });

  for (const [given, secrets, expected] of [
    ['key=hunter22 hunter22', ['hunter22'], 'key=*** ***'],
    ['abcdefgh', ['abcd', 'abcdefgh'], '***'],
    ['a b', ['a', ''], 'a b'],
    ['nothing', ['other'], 'nothing'],
    ['xabcabcdy', ['abcd', 'bcab'], 'xa***y'],
    ['a cabbage', ['cabs', 'abba'], 'a c***ge'],
    ['abcdefgabcd', ['bcdefg', 'abcdefgh', 'efga'], 'a***bcd'],
    ['pw=über!', ['über'], 'pw=***!'],
    ['pw=déjà und déj', [' déjà\n'], 'pw=*** und déj'],
    ['one-line\r\nother-line', ['one-line\nother-line'], '***\r\n***'],
  ] as const)
    test(`hides secrets: ${given}`, () => {
      assert.equal(text(hiding(secrets)(Buffer.from(given))), expected);
    });

  test('hides a long secret, one that begins like it, and what is left when it is cut', () => {
    const [one, other] = [`${'key-'.repeat(200)}one`, `${'key-'.repeat(200)}other`];
    const log = `1 ${one} 2 ${other} 3 ${one.slice(0, 300)}`;
    assert.equal(text(hiding([one, other])(Buffer.from(log))), '1 *** 2 *** 3 ***');
  });

  test('is searched in time that grows with its length alone', () => {
    const log = Buffer.alloc(1_048_576, 'a');
    const a = (count: number) => 'a'.repeat(count);
    const secrets = Array.from({ length: 200 }, (_, index) => `${a(9_000 + index)}b${a(9_000)}`);
    const short = Array.from({ length: 200 }, (_, index) => `${a(index + 50)}b`);
    const tookMs = cpuMsOf(() => {
      assert.equal(text(hiding(secrets)(log)), '***');
      assert.equal(hiding(short)(log), log);
    });
    assert(tookMs < 10_000, `${tookMs} ms`);
  });

  test('of very long secrets hides the lines that they begin with, whatever the first of them is', () => {
    const others = Array.from({ length: 7 }, (_, index) => `${index}${'x'.repeat(19_000)}`);
    const long = 'y'.repeat(19_000);
    const hide = hiding([...others, `0ab\n${long}`, `\n\nfirst line\nsecond line\n${long}`]);
    const shown = (log: string) => text(hide(Buffer.from(log)));
    assert.match(shown(long), /^\*\*\*y*$/);
    assert.equal(shown('the first line and the second line of 0ab'), 'the *** and the *** of 0ab');
  });

  test('cuts no letter of a long secret in halves', () => {
    const others = Array.from({ length: 600 }, (_, index) => `${index}-${'x'.repeat(300)}`);
    const secret = `${'q'.repeat(255)}${'\u{1F600}'.repeat(100)}`;
    assert.match(text(hiding([...others, secret])(Buffer.from(secret))), /^\*\*\*\u{1F600}*$/u);
  });

  test('knows secrets without measure by their beginnings, and learns them in little time', () => {
    const keys = Array.from({ length: 300 }, (_, index) => `${index}-${'key'.repeat(2_700)}`);
    const lines = `of-many-lines\n${'part of a line\n'.repeat(10_000)}`;
    const tookMs = cpuMsOf(() => {
      const log = `1 ${keys[7]?.slice(0, 256)} 2 of-many-lines 3 part of a`;
      assert.equal(text(hiding([...keys, lines])(Buffer.from(log))), '1 *** 2 *** 3 part of a');
    });
    assert.ok(tookMs < 500, `${tookMs} ms`);
  });
});
