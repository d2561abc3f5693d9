import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldClock } from '../../platform/held-clock.ts';
import { anonymous } from '../identity/principal.ts';
import type { Sku } from '../registries/registry.ts';
import { OwnBuckets } from './own-buckets.ts';
import { type Admission, Throttle, type Throttled } from './throttle.ts';

function sampleThrottle(table: 'current' | 'older' = 'current') {
  const clock = new HeldClock();
  const [buckets, addresses] = [new OwnBuckets(clock), new OwnBuckets(clock)];
  const throttle = new Throttle({ buckets, addresses, table, pauseMs: 60_000 });
  const ask = (requestClass: Parameters<Throttle['admit']>[1], request: Throttled): Admission | undefined => {
    const admission = throttle.admit(request, requestClass);
    assert.ok(!(admission instanceof Promise), 'with one process nothing is waited for');
    return admission;
  };
  /** How many of so many requests are let through. */
  const admitted = (times: number, ...asked: Parameters<typeof ask>) =>
    Array.from({ length: times }, () => ask(...asked)).filter((each) => each?.isAdmitted).length;
  return { clock, ask, admitted };
}

function from(
  identity: string,
  { isThrottled = true, sku = 'Basic' as Sku, uid = 'contoso', address = '192.0.2.1' } = {},
): Throttled {
  const principal = identity === 'anonymous' ? anonymous : { kind: 'user' as const, uid: identity };
  return { registry: { uid, sku, isThrottled }, principal, address };
}

test('an identity that spends its requests waits, and the others go on', () => {
  const { admitted } = sampleThrottle();
  assert.equal(admitted(1_100, 'write', from('anna')), 1_000);
  assert.equal(admitted(10, 'write', from('ben')), 10);
  assert.equal(admitted(10, 'read', from('anna')), 10, 'reading is another bucket');
});

test('a refused request takes nothing from the registry', () => {
  const { admitted } = sampleThrottle();
  assert.equal(admitted(5_000, 'write', from('anna')), 1_000);
  assert.equal(admitted(2_000, 'write', from('ben')), 1_000);
  assert.equal(admitted(10, 'write', from('carl')), 0, 'all have spent what the registry has');
});

test('what a registry has spent stays spent, however many identities come', () => {
  const { admitted } = sampleThrottle();
  const identities = Array.from({ length: 25_000 }, (_, index) => `user${index}`);
  assert.equal(identities.filter((identity) => admitted(1, 'read', from(identity)) === 1).length, 10_000);
});

test('Retry-After counts down to the end of the pause, and then it goes on', () => {
  const { clock, ask, admitted } = sampleThrottle();
  admitted(500, 'delete', from('anna'));
  const waits = [0, 10_000, 49_000].map((ms) => {
    clock.advance(ms);
    const admission = ask('delete', from('anna'));
    return admission?.isAdmitted === false ? admission.retryAfterMs : undefined;
  });
  assert.deepEqual(waits, [60_000, 50_000, 1_000]);
  clock.advance(1_000);
  assert.equal(admitted(600, 'delete', from('anna')), 500);
});

test('a list of referrers is a read as well', () => {
  const { ask, admitted } = sampleThrottle();
  assert.equal(admitted(300, 'referrers', from('anna')), 250);
  const read = ask('read', from('anna'));
  assert.deepEqual(read, {
    isAdmitted: true,
    limit: { bucket: 'read', of: 'identity', perMinute: 5_000 },
    remaining: 5_000 - 251,
  });
});

test('signing in is counted for the registry', () => {
  const { admitted } = sampleThrottle();
  assert.equal(admitted(11_000, 'oauth', { ...from('anna'), principal: undefined }), 10_000);
});

test('where throttling is off, strangers alone share the requests of one identity', () => {
  const { ask, admitted } = sampleThrottle();
  const off = { isThrottled: false };
  assert.equal(ask('read', from('anna', off)), undefined);
  const fromAll = (uid: string) =>
    Array.from({ length: 12 }, (_, host) => from('anonymous', { ...off, uid, address: `192.0.2.${host}` }))
      .map((stranger) => admitted(500, 'read', stranger))
      .reduce((sum, each) => sum + each, 0);
  assert.deepEqual([fromAll('contoso'), fromAll('fabrikam')], [5_000, 5_000]);
  assert.equal(ask('oauth', from('anonymous', off)), undefined);
});

for (const isThrottled of [false, true])
  test(`one address cannot close a registry to the other strangers, throttling ${isThrottled ? 'on' : 'off'}`, () => {
    const { admitted } = sampleThrottle();
    assert.equal(admitted(20_000, 'read', from('anonymous', { isThrottled })), 500);
    assert.equal(admitted(500, 'read', from('anonymous', { isThrottled, address: '198.51.100.7' })), 500);
    assert.equal(admitted(10, 'read', from('anonymous', { isThrottled, uid: 'fabrikam' })), 10);
  });

test('one address of strangers spends a tenth of the sign-ins of a registry', () => {
  const { admitted } = sampleThrottle();
  assert.equal(admitted(20_000, 'oauth', from('anonymous')), 1_000);
  assert.equal(admitted(20_000, 'oauth', { ...from('anna'), principal: undefined }), 9_000);
});

test('the addresses of one IPv6 network are one, and those who signed in are not counted by theirs', () => {
  const { admitted } = sampleThrottle();
  const at = (address: string) => admitted(400, 'read', from('anonymous', { address }));
  assert.deepEqual([at('2001:db8::1'), at('2001:db8::2'), at('2001:db8:0:1::1')], [400, 100, 400]);
  assert.equal(admitted(1_000, 'read', from('anna', { address: '2001:db8::1' })), 1_000);
});

test('the older figures are those of a registry, deletions among the writes', () => {
  const { admitted } = sampleThrottle('older');
  assert.equal(admitted(60, 'write', from('anna')), 60);
  assert.equal(admitted(60, 'delete', from('ben')), 40);
  assert.equal(admitted(4_000, 'read', from('anna', { sku: 'Standard' })), 3_000);
  assert.equal(admitted(2_000, 'read', from('anonymous', { isThrottled: false, uid: 'fabrikam' })), 100);
});
