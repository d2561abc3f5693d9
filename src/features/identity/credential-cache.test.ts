import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldClock } from '../../platform/held-clock.ts';
import { systemIds } from '../../platform/system-ids.ts';
import { CredentialCache } from './credential-cache.ts';

function counted(clock = new HeldClock()) {
  const cache = new CredentialCache<string>(clock, systemIds);
  let checks = 0;
  const get = (credentials: string, value: string | undefined = credentials) =>
    cache.get(credentials, async () => {
      checks += 1;
      return value;
    });
  return { get, checks: () => checks };
}

test('right credentials are checked once in ten minutes', async () => {
  const clock = new HeldClock();
  const { get, checks } = counted(clock);
  assert.equal(await get('right'), 'right');
  clock.advance(10 * 60_000 - 1);
  assert.equal(await get('right', 'another'), 'right');
  assert.equal(checks(), 1);
  clock.advance(1);
  assert.equal(await get('right', 'another'), 'another');
  assert.equal(checks(), 2);
});

test('many askers at once share one check', async () => {
  const { get, checks } = counted();
  assert.deepEqual(await Promise.all([get('a'), get('a'), get('a')]), ['a', 'a', 'a']);
  assert.equal(checks(), 1);
});

test('a check that fails is not remembered', async () => {
  const cache = new CredentialCache<string>(new HeldClock(), systemIds);
  await assert.rejects(cache.get('a', () => Promise.reject(new Error('no database'))));
  assert.equal(await cache.get('a', async () => undefined), undefined);
  assert.equal(await cache.get('a', async () => 'right'), 'right');
});

test('at most 10,000 are kept, the oldest go first', async () => {
  const { get, checks } = counted();
  for (let index = 0; index <= 10_000; index += 1) await get(`${index}`);
  await get('10000');
  await get('1');
  assert.equal(checks(), 10_001);
  await get('0');
  assert.equal(checks(), 10_002);
});
