import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withCrlf, withoutSecrets } from './run-log-text.ts';

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
  ] as const)
    test(`hides secrets: ${given}`, () => {
      assert.equal(text(withoutSecrets(Buffer.from(given), secrets)), expected);
    });
});
