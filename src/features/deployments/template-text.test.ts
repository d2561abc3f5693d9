import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { StrictJsonError } from '../../core/strict-json.ts';
import { parseTemplateText } from './template-text.ts';

const parse = (text: string) => parseTemplateText(new TextEncoder().encode(text));

test('a request as az sends it: the template’s own text behind a key without quotes', () => {
  const text =
    '{"properties": {"mode": "Incremental", template:{ // note\n "a": "x // y", /* b */ "t": "one\n two\\" /* no */" }}}';
  assert.deepEqual(parse(text), {
    properties: { mode: 'Incremental', template: { a: 'x // y', t: 'one\n two" /* no */' } },
  });
});

const bad = [
  '{"a": 1 /* no end',
  '{"a',
  '{"a": 1} x',
  '{a: 1}',
  '/'.repeat(10),
  '{"a":1,"a":2}',
  '',
  `${'['.repeat(100)}`,
];
for (const text of bad) {
  test(`refused: ${text.slice(0, 30)}`, () => {
    assert.throws(() => parse(text), StrictJsonError);
  });
}

test('hostile text costs no more than its length', () => {
  const tookMs = cpuMsOf(() => {
    for (const text of ['/*'.repeat(500_000), '"\\'.repeat(500_000), '"/'.repeat(500_000)])
      assert.throws(() => parse(text));
  });
  assert.ok(tookMs < 2_000, `${tookMs} ms`);
});
