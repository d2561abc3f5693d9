import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestClass } from './throttle-limits.ts';
import { ThrottleReplay } from './throttle-replay.ts';

const second = 1_000_000;

function sample(table: 'current' | 'older' = 'current') {
  const replay = new ThrottleReplay({ table, pauseMs: 60_000 });
  /** So many requests, evenly over some seconds. */
  const send = (identity: string, requestClass: RequestClass, times: number, { from = 0, seconds = 1 } = {}) => {
    for (let index = 0; index < times; index++)
      replay.add({
        atMicros: (from + (seconds * index) / times) * second,
        registry: 'contoso',
        identity,
        requestClass,
      });
  };
  const of = (identity: string, requestClass: RequestClass) =>
    replay.loads().find((load) => load.identity === identity && load.requestClass === requestClass);
  return { send, of, replay };
}

test('says what each SKU would have refused, and by which limit', () => {
  const { send, of } = sample();
  send('anna', 'write', 1_500);
  const anna = of('anna', 'write');
  assert.deepEqual([anna?.requests, anna?.peak], [1_500, 1_500]);
  // A Basic registry gives 1,000 at once and 16 more in the second.
  assert.deepEqual(anna?.refused, { Basic: 489, Standard: 489, Premium: 0 });
  assert.deepEqual(anna?.by.Basic, [{ bucket: 'write', of: 'identity', perMinute: 1_000 }]);
});

test('what all identities send together is held against the registry', () => {
  const { send, of } = sample();
  for (const identity of ['anna', 'ben', 'carl']) send(identity, 'write', 900);
  assert.deepEqual(of('', 'write')?.by.Basic, [{ bucket: 'write', of: 'registry', perMinute: 2_000 }]);
  assert.equal(of('', 'write')?.refused.Basic, of('carl', 'write')?.refused.Basic);
  assert.equal(of('', 'write')?.peak, 2_700);
});

test('the peak is that of any 60 seconds, not of a minute of the clock', () => {
  const { send, of } = sample();
  send('anna', 'read', 100, { from: 50, seconds: 5 });
  send('anna', 'read', 100, { from: 65, seconds: 5 });
  send('anna', 'read', 150, { from: 300, seconds: 5 });
  assert.equal(of('anna', 'read')?.peak, 200);
});

test('each address of strangers has a part of what they share, the first 64 bits of one in IPv6', () => {
  const { replay, of } = sample();
  const send = (strangersAddress: string, times: number) => {
    for (let index = 0; index < times; index++)
      replay.add({ atMicros: 0, registry: 'contoso', identity: 'anonymous', requestClass: 'read', strangersAddress });
  };
  send('192.0.2.1', 600);
  assert.deepEqual(of('anonymous', 'read')?.refused, { Basic: 100, Standard: 100, Premium: 0 });
  assert.deepEqual(of('anonymous', 'read')?.by.Basic, [{ bucket: 'read', of: 'address', perMinute: 500 }]);
  send('192.0.2.2', 500);
  for (const host of ['a', 'b', 'c']) send(`2001:db8::${host}`, 200);
  assert.deepEqual(of('anonymous', 'read')?.refused.Basic, 200);
});

test('exchanges of tokens are counted for the registry alone, and older figures by its SKU', () => {
  const { send, of, replay } = sample('older');
  send('', 'oauth', 20_000);
  send('anna', 'delete', 300);
  assert.deepEqual(of('', 'oauth')?.refused, { Basic: 0, Standard: 0, Premium: 0 });
  assert.deepEqual(of('anna', 'delete')?.refused, { Basic: 200, Standard: 0, Premium: 0 });
  assert.deepEqual(
    replay.loads().map((load) => load.identity),
    ['', '', 'anna'],
  );
});
