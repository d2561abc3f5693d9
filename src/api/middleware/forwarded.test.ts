import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import { type Client, clientBehind, type Peer } from './forwarded.ts';

const trusted = new BlockList();
trusted.addSubnet('10.0.0.0', 8, 'ipv4');
trusted.addAddress('::1', 'ipv6');
const direct: Peer = {
  address: '192.0.2.7',
  isEncrypted: false,
  host: 'a.example',
  forwardedFor: undefined,
  forwardedProto: undefined,
  forwardedHost: undefined,
};
const lies = { forwardedFor: '203.0.113.1', forwardedProto: 'https', forwardedHost: 'evil.example' };

type Case = { readonly what: string; readonly peer: Partial<Peer>; readonly client: Partial<Client> };
const cases: readonly Case[] = [
  { what: 'a direct client is itself', peer: {}, client: { address: '192.0.2.7', scheme: 'http', host: 'a.example' } },
  {
    what: 'headers of a stranger change nothing',
    peer: lies,
    client: { address: '192.0.2.7', scheme: 'http', host: 'a.example' },
  },
  {
    what: 'a trusted proxy tells who, how and where',
    peer: { address: '10.0.0.1', ...lies },
    client: { address: '203.0.113.1', scheme: 'https', host: 'evil.example' },
  },
  {
    what: 'what a client wrote before its own address is not believed',
    peer: { address: '10.0.0.1', forwardedFor: '198.51.100.9, 203.0.113.1, 10.1.1.1' },
    client: { address: '203.0.113.1' },
  },
  {
    what: 'an address in the form of IPv6 is the IPv4 one',
    peer: { address: '::ffff:10.0.0.1', forwardedFor: '::ffff:203.0.113.1' },
    client: { address: '203.0.113.1' },
  },
  {
    what: 'text that is no address is not taken',
    peer: { address: '::1', forwardedFor: 'unknown' },
    client: { address: '::1' },
  },
  {
    what: 'a scheme that is none is not taken',
    peer: { address: '::1', forwardedProto: 'ftp' },
    client: { scheme: 'http' },
  },
];
for (const { what, peer, client } of cases) {
  test(what, () => {
    const found = clientBehind({ ...direct, ...peer }, trusted);
    assert.deepEqual({ ...found, ...client }, found);
  });
}
