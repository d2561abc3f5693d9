import { type BlockList, isIP } from 'node:net';

/** How a request reached this process. */
export type Peer = {
  readonly address: string;
  readonly isEncrypted: boolean;
  readonly host: string | undefined;
  readonly forwardedFor: string | undefined;
  readonly forwardedProto: string | undefined;
  readonly forwardedHost: string | undefined;
};

/** What the client itself did. */
export type Client = { readonly address: string; readonly scheme: 'http' | 'https'; readonly host: string | undefined };

/**
 * Looks through trusted proxies: the client is the last address in X-Forwarded-For that no trusted proxy has. Headers from
 * anybody else are ignored.
 */
export function clientBehind(peer: Peer, trusted: BlockList | undefined): Client {
  const address = plainAddress(peer.address);
  const scheme = peer.isEncrypted ? 'https' : 'http';
  if (trusted === undefined || !isIn(trusted, address)) return { address, scheme, host: peer.host };
  return {
    address: clientAddress(address, peer.forwardedFor, trusted),
    scheme: forwardedScheme(peer.forwardedProto) ?? scheme,
    host: last(peer.forwardedHost) ?? peer.host,
  };
}

/** Drops the IPv4-in-IPv6 form that a socket listening on both shows. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

function clientAddress(peer: string, forwardedFor: string | undefined, trusted: BlockList): string {
  const hops = (forwardedFor ?? '').split(',').map((hop) => plainAddress(hop.trim()));
  const client = hops.findLast((hop) => hop !== '' && !isIn(trusted, hop));
  return client !== undefined && isIP(client) !== 0 ? client : peer;
}

function forwardedScheme(text: string | undefined): 'http' | 'https' | undefined {
  const scheme = last(text)?.toLowerCase();
  return scheme === 'http' || scheme === 'https' ? scheme : undefined;
}

/** The value that the nearest proxy added. */
function last(text: string | undefined): string | undefined {
  const value = text?.split(',').at(-1)?.trim();
  return value === '' ? undefined : value;
}

function isIn(networks: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && networks.check(address, version === 4 ? 'ipv4' : 'ipv6');
}
