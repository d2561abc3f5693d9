import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkRules } from '../registries/registry.ts';
import { openAccess } from '../registries/registry.ts';
import { admits } from './network-rules.ts';

const open = openAccess.network;
const denying: NetworkRules = {
  ...open,
  defaultAction: 'Deny',
  allowed: ['203.0.113.7', '198.51.100.77/24', '2001:db8:1::/48', '2001:db8:2::1'],
};
const closed: NetworkRules = { ...denying, isPublic: false };
const rows: readonly [string, NetworkRules, string, boolean][] = [
  ['anyone, without rules', open, '192.0.2.1', true],
  ['anyone, with rules that deny nobody', { ...denying, defaultAction: 'Allow' }, '192.0.2.1', true],
  ['an address', denying, '203.0.113.7', true],
  ['the address beside it', denying, '203.0.113.8', false],
  ['the first of a network written with host bits', denying, '198.51.100.0', true],
  ['the last of it', denying, '198.51.100.255', true],
  ['the first behind it', denying, '198.51.101.0', false],
  ['an IPv4 address as a socket of both families tells it', denying, '::ffff:198.51.100.3', true],
  ['another of those', denying, '::ffff:192.0.2.1', false],
  ['an IPv6 network', denying, '2001:db8:1:ffff::9', true],
  ['an IPv6 address in another spelling', denying, '2001:0DB8:2:0::1', true],
  ['an IPv6 address with a zone', denying, 'fe80::1%eth0', false],
  ['another IPv6 address', denying, '2001:db8:3::1', false],
  ['no address', denying, '', false],
  ['no address but a name', denying, 'localhost', false],
  ['an allowed address while public access is off', closed, '203.0.113.7', false],
  ['everyone in one network', { ...denying, allowed: ['0.0.0.0/0'] }, '192.0.2.1', true],
  ['the other family beside that', { ...denying, allowed: ['0.0.0.0/0'] }, '2001:db8::1', false],
];

for (const [name, rules, address, expected] of rows) {
  test(`${expected ? 'lets in' : 'keeps out'} ${name}`, () =>
    assert.equal(admits(rules, { address, isTrustedService: false }), expected));
}

test('services of the installation pass the rules unless the registry says no', () => {
  const service = { address: '192.0.2.1', isTrustedService: true };
  for (const rules of [open, denying, closed]) assert(admits(rules, service));
  for (const rules of [denying, closed]) assert(!admits({ ...rules, admitsTrustedServices: false }, service));
});
