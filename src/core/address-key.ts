/**
 * The part of a client's address that one subscriber holds: an IPv4 address whole (also in its IPv6-mapped form), of an
 * IPv6 address its first 64 bits, in one spelling.
 */
export function addressKey(address: string): string {
  const written = `http://[${address.split('%')[0]}]/`;
  if (!address.includes(':') || !URL.canParse(written)) return address;
  const url = new URL(written).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(url);
  if (mapped !== null) return ipv4Of(mapped.slice(1));
  const [head = '', tail] = url.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail === undefined) return groups.slice(0, 4).join(':');
  const last = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - groups.length - last.length }, () => '0');
  return [...groups, ...zeros, ...last].slice(0, 4).join(':');
}

function ipv4Of(groups: readonly string[]): string {
  return groups
    .map((group) => Number.parseInt(group, 16))
    .flatMap((value) => [value >> 8, value & 0xff])
    .join('.');
}
