import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameBytes } from './same-bytes.ts';

const cases: readonly [what: string, left: readonly string[], right: readonly string[], isSame: boolean][] = [
  ['nothing and nothing', [], [], true],
  ['empty chunks', ['', ''], [''], true],
  ['the same', ['abc'], ['abc'], true],
  ['the same in other chunks', ['a', '', 'bcd', 'e'], ['abcd', 'e'], true],
  ['one byte differs', ['abc'], ['abd'], false],
  ['one is longer', ['abc'], ['abc', 'd'], false],
  ['one is empty', ['a'], [], false],
];

for (const [what, left, right, isSame] of cases) {
  test(`compared: ${what}`, async () => {
    assert.equal(await sameBytes(chunks(left), chunks(right)), isSame);
    assert.equal(await sameBytes(chunks(right), chunks(left)), isSame);
  });
}

test('both streams are closed at the first difference', async () => {
  let closed = 0;
  async function* endless(text: string): AsyncGenerator<Uint8Array> {
    try {
      while (true) yield Buffer.from(text);
    } finally {
      closed += 1;
    }
  }
  assert.equal(await sameBytes(endless('aa'), endless('ab')), false);
  assert.equal(closed, 2);
});

async function* chunks(texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}
