import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addressesOfMachine, createBuildAddressCheck } from './build-addresses.ts';
import { createNameLookup } from './name-lookup.ts';
import { resolveTarget } from './proxy-target.ts';

const machine = ['127.0.0.1', '10.0.0.5', '8.8.4.4', '2600:1:2::3', 'fe80::1%eth0'];

describe('where builds may go', () => {
  for (const [address, allow, isOpen] of [
    ['8.8.8.8', [], true],
    ['2600:1:2::4', [], true],
    ['8.8.4.4', [], false],
    ['2600:1:2:0:0:0:0:3', [], false],
    ['8.8.4.4', ['8.8.4.4/32'], true],
    ['2600:1:2::3', ['2600:1:2::/48'], true],
    ['10.0.0.5', [], false],
    ['10.0.0.5', ['10.0.0.0/8'], true],
    ['::ffff:8.8.4.4', [], false],
    ['not an address', [], false],
  ] as const)
    test(`${address}, with ${allow.join() || 'nothing'} opened: ${isOpen}`, () =>
      assert.equal(createBuildAddressCheck(allow, () => machine)(address), isOpen));

  test('an address that the machine got later is its own from then on', () => {
    const own: string[] = [];
    const isAllowed = createBuildAddressCheck([], () => own);
    assert.equal(isAllowed('8.8.4.4'), true);
    own.push('8.8.4.4');
    assert.equal(isAllowed('8.8.4.4'), false);
  });

  test('whoever asks for one is told what would open it', async () => {
    const isAllowed = createBuildAddressCheck([], () => machine);
    await assert.rejects(
      resolveTarget({ isAllowed, hosts: new Map() }, createNameLookup(), { hostName: '8.8.4.4', port: 5432 }),
      /--outbound-allow/,
    );
  });

  test('this machine has addresses', () => assert(addressesOfMachine().includes('127.0.0.1')));
});
