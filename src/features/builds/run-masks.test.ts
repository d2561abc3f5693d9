import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hiding } from './run-log-text.ts';
import { inBase64, maskedForms, masksOf } from './run-masks.ts';
import type { SealedOrder } from './run-order-secrets.ts';

const token = 'ghp_0123456789abcdefghijABCDEFGHIJ';
const base64 = (text: string) => Buffer.from(text).toString('base64');

function orderOf(more: Partial<SealedOrder>): SealedOrder {
  return {
    work: { kind: 'encodedTask', content: 'steps: []', values: [] },
    source: { kind: 'none' },
    authority: { kind: 'none' },
    customRegistries: [],
    ...more,
  };
}

/** What is left of a line of a run's log. */
function shown(order: SealedOrder, line: string): string {
  return Buffer.from(hiding(masksOf(order, []))(Buffer.from(line))).toString();
}

test('an access token in the address of the files is hidden in each form that people and git write', () => {
  for (const address of [
    `https://${token}@git.example/a.git`,
    `https://${token}:x-oauth-basic@git.example/a.git`,
    `https://oauth2:${token}@git.example/a.git`,
  ])
    for (const line of [
      token,
      base64(`dummy:${token}`),
      base64(`${token}:x-oauth-basic`),
      base64(`someone:${token}`),
    ]) {
      const log = shown(orderOf({ source: { kind: 'remote', location: address } }), `Authorization: Basic ${line}`);
      assert.match(log, /^Authorization: Basic [\w+/=]{0,16}\*\*\*[\w+/=]{0,20}$/, `${address}: ${line}`);
    }
});

test('a secret is hidden in base64, whatever stands around it and whoever the user is', () => {
  const value = 'pässword-1';
  const order = orderOf({
    work: { kind: 'encodedTask', content: '', values: [{ name: 'KEY', value, isSecret: true }] },
  });
  for (const before of ['', 'a:', 'ab:', 'abc:', 'a-long-name-of-somebody:'])
    for (const after of ['', '\n', ' and more'])
      assert.match(shown(order, base64(`${before}${value}${after}`)), /\*\*\*/, `${before}, ${after}`);
  assert.equal(shown(order, base64('nothing of it')), base64('nothing of it'));
});

test('what stands in a secret that is JSON is hidden too, as templates take it apart', () => {
  const json =
    '{"user": "deploy-bot", "keys": [{"pem": "first line\\nsecond line"}, "abc", "pass\\u0077ord", true, 12345.0, 678]}';
  for (const masks of [
    maskedForms([json]),
    masksOf(
      orderOf({ work: { kind: 'encodedTask', content: '', values: [{ name: 'K', value: json, isSecret: true }] } }),
      [],
    ),
  ]) {
    const log = (line: string) => Buffer.from(hiding(masks)(Buffer.from(line))).toString();
    assert.equal(log('as deploy-bot with password'), 'as *** with ***');
    assert.equal(log('has a second line'), 'has a ***');
    assert.match(log(base64('deploy-bot:password')), /^\w{0,2}\*\*\*/);
    assert.equal(log('with pin 12345'), 'with pin ***');
    assert.equal(log('abc true 678 user keys'), 'abc true 678 user keys');
    assert.equal(log(`all of ${json}`), 'all of ***');
  }
  assert.deepEqual(maskedForms(['"text"', '{"user": ', '1234567']).slice(0, 3), ['"text"', '{"user": ', '1234567']);
});

test('secrets that are JSON of any depth and number are read, and all of it has a bound', () => {
  const deep = `${'['.repeat(30_000)}"deep secret"${']'.repeat(30_000)}`;
  assert(maskedForms([deep]).includes('deep secret'));
  const many = Array.from({ length: 50 }, (_, at) =>
    JSON.stringify(Array.from({ length: 2_000 }, (_each, index) => `text ${at} ${index}`)),
  );
  const letters = maskedForms(many)
    .slice(50)
    .reduce((sum, { length }) => sum + length, 0);
  assert.ok(letters > 128 * 1024 && letters <= 160 * 1024, `${letters}`);
});

test('what is very short or very long is not looked for in base64, and all of it has a bound', () => {
  assert.deepEqual(inBase64('seven77'), []);
  assert.deepEqual(inBase64('x'.repeat(1_025)), []);
  assert.deepEqual(inBase64('eight888').length, 3);
  const values = Array.from({ length: 1_000 }, (_, index) => ({
    name: 'K',
    value: `secret-${index}`.repeat(9),
    isSecret: true,
  }));
  const masks = masksOf(orderOf({ work: { kind: 'encodedTask', content: '', values } }), []);
  const letters = masks.slice(values.length).reduce((sum, { length }) => sum + length, 0);
  assert.ok(letters > 16_000 && letters <= 32 * 1024, `${letters}`);
});
