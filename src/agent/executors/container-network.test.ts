import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunFailure } from '../run-failure.ts';
import { createContainerNetworks } from './container-network.ts';

const newNetworks = () => createContainerNetworks({ read: async () => '', folder: '/mnt', address: '10.88.0.1' });

test('a network has as many containers at a time as a bridge has ports for', async () => {
  const { join } = newNetworks();
  for (let count = 0; count < 1_000; count += 1) await join('step', undefined);
  await assert.rejects(
    join('step', undefined),
    (error: Error) => error instanceof RunFailure && /1000/.test(error.message),
  );
  await join('step', 'other');
});
test('a step that is done again and again is told apart from those that run', async () => {
  const { join } = newNetworks();
  const kept = await join('db', undefined);
  const addresses = new Set<string>();
  for (let count = 0; count < 10_000; count += 1) {
    const { address, leave } = await join('step', undefined);
    addresses.add(address);
    assert.notEqual(address, kept.address);
    await leave();
  }
  assert.equal(addresses.size, 3_998);
});
