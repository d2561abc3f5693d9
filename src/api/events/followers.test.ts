import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anonymous, type Principal } from '../../features/identity/principal.ts';
import { Followers } from './followers.ts';

const victor: Principal = { kind: 'user', uid: 'victor', name: 'Victor', isOwner: false, registryUid: undefined };
const quinn: Principal = { ...victor, uid: 'quinn' };

function enterOften(followers: Followers, principal: Principal, addressOf: (index: number) => string): number {
  for (let count = 0; count < 1_000; count += 1) {
    try {
      followers.enter(principal, addressOf(count));
    } catch {
      return count;
    }
  }
  return 1_000;
}

test('nobody takes all places', () => {
  const followers = new Followers();
  const oneAddress = () => '192.0.2.1';
  assert.equal(enterOften(followers, anonymous, oneAddress), 5);
  const oneNetwork = (index: number) => `2001:db8::${index.toString(16)}`;
  assert.equal(enterOften(followers, anonymous, oneNetwork), 5);
  assert.equal(
    enterOften(followers, anonymous, (index) => `198.51.${index >> 8}.${index & 255}`),
    90,
  );
  assert.equal(enterOften(followers, victor, oneAddress), 20);
  assert.throws(() => followers.enter(victor, '192.0.2.2'), { error: 'busy' });
  assert.equal(enterOften(followers, quinn, oneAddress), 20);
});

test('a place that is left is free, once', () => {
  const followers = new Followers();
  const leave = followers.enter(victor, '192.0.2.1');
  assert.equal(
    enterOften(followers, victor, () => '192.0.2.1'),
    19,
  );
  leave();
  leave();
  assert.equal(
    enterOften(followers, victor, () => '192.0.2.1'),
    1,
  );
});
