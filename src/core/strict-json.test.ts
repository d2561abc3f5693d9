import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../test/support/cpu-time.ts';
import { parseStrictJson, StrictJsonError } from './strict-json.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

const good: readonly [text: string, value: unknown][] = [
  ['{}', {}],
  [' \t\r\n{"a" : [1, -2.5e+3, true, null, "x"] }\n', { a: [1, -2500, true, null, 'x'] }],
  ['"text"', 'text'],
  ['0', 0],
  ['{"a":{"a":1},"b":[{"a":2},{"a":3}]}', { a: { a: 1 }, b: [{ a: 2 }, { a: 3 }] }],
  ['{"a:b":"{\\"a\\":1,\\"a\\":2}"}', { 'a:b': '{"a":1,"a":2}' }],
  ['["a","a"]', ['a', 'a']],
  ['{"\\u00e9":1,"e":2}', { é: 1, e: 2 }],
  ['{"a\\\\":1,"a":2}', { 'a\\': 1, a: 2 }],
  ['{"":1}', { '': 1 }],
];

const bad: readonly [why: string, text: string][] = [
  ['nothing', ''],
  ['only white space', ' \n'],
  ['two keys alike', '{"a":1,"a":2}'],
  ['two keys alike with others between', '{"a":1,"b":{"a":2},"c":[{"a":1}],"a":3}'],
  ['two keys alike below', '[{"x":{"a":1,"a":1}}]'],
  ['two keys alike, one by an escape', '{"config":1,"\\u0063onfig":2}'],
  ['two keys alike, both by escapes', '{"\\u0061":1,"\\u0061":2}'],
  ['two keys alike, one with an escaped slash', '{"a/b":1,"a\\/b":2}'],
  ['two keys alike, escapes in other case', '{"\\u00e9":1,"\\u00E9":2}'],
  ['two keys alike with white space before the colon', '{"a" :1,"a"\n:2}'],
  ['two __proto__', '{"__proto__":1,"__proto__":2}'],
  ['two empty keys', '{"":1,"":2}'],
  ['a second value', '{} {}'],
  ['text after the value', '{}x'],
  ['a comma after the value', '{},'],
  ['a closing bracket too many', '{}}'],
  ['a closing bracket missing', '[[1]'],
  ['brackets that do not match', '{"a":[1}]'],
  ['a byte order mark', '\ufeff{}'],
  ['a trailing comma', '{"a":1,}'],
  ['a comment', '{/* */"a":1}'],
  ['a line comment', '// \n{}'],
  ['single quotes', "{'a':1}"],
  ['a key without quotes', '{a:1}'],
  ['NaN', '[NaN]'],
  ['Infinity', '[Infinity]'],
  ['a leading zero', '[01]'],
  ['a leading plus', '[+1]'],
  ['hexadecimal', '[0x1]'],
  ['an open string', '{"a'],
  ['an open string after a backslash', '"\\'],
  ['an unknown escape', '"\\x41"'],
  ['an unknown escape in a key', '{"\\x41":1}'],
  ['a short escape', '"\\u12"'],
  ['a control character', '"\u0001"'],
  ['a line break in a string', '"a\nb"'],
  ['NUL after the value', '{}\0'],
  ['a space of another alphabet', '\u00a0{}'],
  ['a colon too many', '{"a"::1}'],
  ['a key without value', '{"a"}'],
  ['65 levels', nested(65)],
  ['hostile nesting', '['.repeat(4_000_000)],
  ['hostile nesting of objects', '{"a":'.repeat(800_000)],
];

for (const [text, value] of good) {
  test(`${text.trim()} is read`, () => assert.deepEqual(parseStrictJson(bytes(text)), value));
}

for (const [why, text] of bad) {
  test(`JSON is refused: ${why}`, () => {
    assert.throws(() => parseStrictJson(bytes(text)), StrictJsonError);
  });
}

test('64 levels are read, and a narrower limit is kept', () => {
  assert.doesNotThrow(() => parseStrictJson(bytes(nested(64))));
  assert.throws(() => parseStrictJson(bytes(nested(9)), 8), { message: 'nested deeper than 8 levels' });
});

const malformedUtf8: readonly [why: string, bytes: readonly number[]][] = [
  ['a lone continuation byte', [0x22, 0x80, 0x22]],
  ['a sequence cut short', [0x22, 0xc3, 0x22]],
  ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
  ['a surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
  ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
];

for (const [why, values] of malformedUtf8) {
  test(`text that is not UTF-8 is refused: ${why}`, () => {
    assert.throws(() => parseStrictJson(Uint8Array.from(values)), { message: 'not valid UTF-8' });
  });
}

test('keys of Object.prototype are data', () => {
  const value = parseStrictJson(bytes('{"__proto__":{"polluted":1},"constructor":2,"toString":3}'));
  assert(typeof value === 'object' && value !== null);
  assert.deepEqual(Object.keys(value), ['__proto__', 'constructor', 'toString']);
  assert.equal(Reflect.get({}, 'polluted'), undefined);
});

test('4 MiB of many keys, and of one long string, take no long time', () => {
  const keys = Array.from({ length: 300_000 }, (_, index) => `"k${index}":0`).join();
  const tookMs = cpuMsOf(() => {
    assert.doesNotThrow(() => parseStrictJson(bytes(`{${keys}}`)));
    assert.doesNotThrow(() => parseStrictJson(bytes(`"${'\\\\'.repeat(2_000_000)}"`)));
    assert.throws(() => parseStrictJson(bytes('-'.repeat(4_000_000))), StrictJsonError);
  });
  assert(tookMs < 5_000, `${tookMs} ms`);
});

test('the reason of a duplicate shows the key, not all of a long one', () => {
  const key = 'k'.repeat(1000);
  assert.throws(
    () => parseStrictJson(bytes(`{"${key}":1,"${key}":2}`)),
    (error) => {
      assert(error instanceof StrictJsonError);
      return error.message.length < 100;
    },
  );
});
