import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Authorization, parseAuthorization } from './authorization-header.ts';

const basic = (text: string | Uint8Array) => `Basic ${Buffer.from(text).toString('base64')}`;
const malformed = { kind: 'malformed' } as const;

const rows: readonly [label: string, header: string | undefined, expected: Authorization][] = [
  ['no header', undefined, { kind: 'none' }],
  ['a name and a password', basic('ann:pass'), { kind: 'basic', userName: 'ann', password: 'pass' }],
  ['a colon in the password', basic('ann:pa:ss'), { kind: 'basic', userName: 'ann', password: 'pa:ss' }],
  ['letters beyond ASCII', basic('änn:pß'), { kind: 'basic', userName: 'änn', password: 'pß' }],
  ['a scheme in another case', basic('a:b').replace('Basic', 'bAsIc'), { kind: 'basic', userName: 'a', password: 'b' }],
  ['a token', 'Bearer abc.def-_~+/=', { kind: 'bearer', token: 'abc.def-_~+/=' }],
  ['no colon', basic('ann'), malformed],
  ['NUL in the name', basic('an\0n:pass'), malformed],
  ['NUL in the password', basic('ann:pa\0ss'), malformed],
  ['bytes that are no UTF-8', basic(new Uint8Array([0xff, 0x3a, 0x61])), malformed],
  ['base64 with bits left over', 'Basic YTpiYR==', malformed],
  ['another scheme', 'Digest abc', malformed],
  ['nothing behind the scheme', 'Basic ', malformed],
  ['the empty text', '', malformed],
];

for (const [label, header, expected] of rows) {
  test(`an Authorization header with ${label} is ${expected.kind}`, () => {
    assert.deepEqual(parseAuthorization(header), expected);
  });
}
