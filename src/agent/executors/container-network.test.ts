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
test('a network that is removed is another when it is made again, and makes room for others', async () => {
  const { join, remove, isUsed } = newNetworks();
  await join('first', undefined);
  for (let count = 0; count < 300; count += 1) {
    const { leave } = await join('step', 'own');
    assert.equal(await isUsed('own'), true);
    await assert.rejects(remove('own'), /containers are on the network own: step/);
    await leave();
    assert.equal(await isUsed('own'), false);
    await remove('own');
  }
  for (let count = 0; count < 111; count += 1) await join('step', `network-${count}`);
  await assert.rejects(join('step', 'one more'), /at most 112 networks/);
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
test('what is written as containers come and go does not grow with all that they are named', async () => {
  let bytes = 0;
  const networks = createContainerNetworks({
    folder: '/mnt',
    address: '10.88.0.1',
    read: async (_, options) => {
      const input = options?.input ?? [];
      if (input instanceof Uint8Array) bytes += input.length;
      else for await (const chunk of input) bytes += chunk.length;
      return '';
    },
  });
  const aliases = Array.from({ length: 20 }, (_, at) => `${at}`.padEnd(99, 'a'));
  const containers = [];
  for (let count = 0; count < 10; count += 1) containers.push(await networks.join('step', 'network-0', aliases));
  for (let network = 1; network < 16; network += 1)
    for (const { connect } of containers) await connect(`network-${network}`, aliases);
  const [first, second] = containers;
  bytes = 0;
  await first?.leave();
  assert.equal(bytes, 0);
  await second?.disconnect('network-0');
  assert(bytes < 512 * 1024, `${bytes}`);
  await assert.rejects(async () => {
    for (let network = 20; network < 22; network += 1) await second?.connect(`network-${network}`, []);
  }, /at most 16 networks at a time: step/);
  await assert.rejects(async () => {
    for (let count = 0; count < 140; count += 1) await networks.join('step', 'network-1', aliases);
  }, /the names of a network have at most 262144 letters/);
});
test('a bridge that could not be made is made at the next try, and takes no place', async () => {
  let isBroken = false;
  const { join, isUsed, remove } = createContainerNetworks({
    folder: '/mnt',
    address: '10.88.0.1',
    read: async (words) => {
      if (isBroken && words.some((word) => word.includes('type bridge'))) throw new Error('no bridge');
      return '';
    },
  });
  await join('first', undefined);
  isBroken = true;
  for (let count = 0; count < 200; count += 1) await assert.rejects(join('step', 'own'), /no bridge/);
  assert.equal(await isUsed('own'), false);
  await remove('own');
  isBroken = false;
  await join('step', 'own');
  assert.equal(await isUsed('own'), true);
});
