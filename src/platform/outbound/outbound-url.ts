import { OutboundError } from './outbound-error.ts';

const maxLength = 8192;
const schemes = ['http:', 'https:'];
/** Below this only the two ports of HTTP: others belong to services that a request could be made to confuse. */
const firstFreePort = 1024;
const lowPorts = ['', '80', '443'];

/** Reads the address of a call. `isChosen` tells names whose target the operator chose, with any port. Throws OutboundError `blocked`. */
export function parseOutboundUrl(text: string, isChosen: (hostName: string) => boolean): URL {
  const url = text.length <= maxLength ? URL.parse(text) : null;
  if (url === null) throw new OutboundError('blocked', 'the address is malformed');
  if (!schemes.includes(url.protocol)) throw new OutboundError('blocked', 'the scheme is not http or https');
  if (url.username !== '' || url.password !== '') throw new OutboundError('blocked', 'the address holds a password');
  const isUsualPort = lowPorts.includes(url.port) || Number(url.port) >= firstFreePort;
  if (!isUsualPort && !isChosen(hostNameOf(url.hostname)))
    throw new OutboundError('blocked', 'the port is not allowed');
  return url;
}

/** Reads a `Location`, which may be relative; a redirect never leaves TLS. Throws OutboundError `blocked`. */
export function parseRedirect(location: string, from: URL, isChosen: (hostName: string) => boolean): URL {
  const target = URL.parse(location, from)?.href ?? '';
  const url = parseOutboundUrl(target, isChosen);
  if (from.protocol === 'https:' && url.protocol !== 'https:') {
    throw new OutboundError('blocked', 'the redirect leaves TLS');
  }
  return url;
}

/** Lower-case, without the brackets of an IPv6 address or the dot of a rooted name. */
export function hostNameOf(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
