import { BlockList, isIP } from 'node:net';
import type { NetworkRules } from '../registries/registry.ts';

/** Who wants to connect. */
export type NetworkClient = {
  /** After trusted proxies. */
  readonly address: string;
  /** A service of the installation itself that has shown to be one. */
  readonly isTrustedService: boolean;
};

/** Rules are immutable and read again only when rights change, so their networks are looked up in a list made once. */
const lists = new WeakMap<NetworkRules, BlockList>();

/** Whether a registry may be reached by a client. Source: ACR semantics, "Networking". */
export function admits(rules: NetworkRules, { address, isTrustedService }: NetworkClient): boolean {
  if (isTrustedService && rules.admitsTrustedServices) return true;
  if (!rules.isPublic) return false;
  return rules.defaultAction === 'Allow' || isListed(rules, plainAddress(address));
}

function isListed(rules: NetworkRules, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && listOf(rules).check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function listOf(rules: NetworkRules): BlockList {
  const known = lists.get(rules);
  if (known !== undefined) return known;
  const list = new BlockList();
  for (const text of rules.allowed) {
    const [network = '', prefix] = text.split('/');
    const family = isIP(network) === 4 ? 'ipv4' : 'ipv6';
    list.addSubnet(network, prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix), family);
  }
  lists.set(rules, list);
  return list;
}

/** Whether the client is on this machine, or a proxy there that nobody trusts. */
export function isLoopback(address: string): boolean {
  const plain = plainAddress(address);
  return plain === '::1' || plain.startsWith('127.');
}

/** IPv4 clients of a socket for both families have an address of the form `::ffff:192.0.2.1`; link-local ones name a zone. */
function plainAddress(address: string): string {
  const [plain = ''] = address.split('%');
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(plain) ? plain.slice('::ffff:'.length) : plain;
}
