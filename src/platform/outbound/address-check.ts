import { BlockList, isIP } from 'node:net';

/**
 * Networks that are not the public Internet: this host, private, shared (CGNAT), link-local with the metadata addresses,
 * documentation, benchmarks, multicast, reserved. Sources: IANA special-purpose address registries (RFC 6890);
 * 168.63.129.16 is the platform address inside Azure.
 */
const closedV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
/** Of IPv6 only global unicast is public; mapped, NAT64, unique local, link-local and multicast addresses lie outside it. */
const globalV6 = '2000::/3';
/** Teredo and other protocol assignments, documentation, 6to4: forms that carry another address inside. */
const closedV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** Whether a call may go to an address (text of an IPv4 or IPv6 address; false for any other text). */
export type AddressCheck = (address: string) => boolean;

/** Public addresses, and those in `allow` (networks in CIDR form). Throws RangeError for a malformed network. */
export function createAddressCheck(allow: readonly string[]): AddressCheck {
  const allowed = networks(allow);
  const closed = networks([...closedV4, ...closedV6]);
  const global = networks([globalV6]);
  return (address) => {
    const family = isIP(address);
    if (family === 0) return false;
    const type = family === 4 ? 'ipv4' : 'ipv6';
    if (allowed.check(address, type)) return true;
    return (family === 4 || global.check(address, type)) && !closed.check(address, type);
  };
}

function networks(list: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const network of list) {
    const [address = '', bits = ''] = network.split('/');
    const family = isIP(address);
    if (family === 0 || !/^\d{1,3}$/.test(bits)) throw new RangeError(`${network} is not a network such as 10.0.0.0/8`);
    blocks.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  }
  return blocks;
}
