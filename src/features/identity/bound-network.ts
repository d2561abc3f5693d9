import { BlockList, isIP } from 'node:net';
import { BerthError } from '../../core/errors.ts';

/** Wider networks are a slip: an identity for half the Internet. */
const shortestPrefix = { 4: 8, 6: 32 } as const;

/** Reads an address or network, such as `10.1.2.0/24`; answers it with its length. Throws `bindingInvalid`. */
export function parseNetwork(text: string): string {
  const [address = '', prefix, ...rest] = text.trim().split('/');
  const version = isIP(address);
  if ((version !== 4 && version !== 6) || rest.length > 0 || address.includes('%')) throw noNetwork(text);
  const most = version === 4 ? 32 : 128;
  const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (bits < 0 || bits > most) throw noNetwork(text);
  if (bits < shortestPrefix[version])
    throw new BerthError(
      'bindingInvalid',
      `${text} is too wide: at most a /${shortestPrefix[version]} can be bound, better one machine`,
    );
  return `${address.toLowerCase()}/${bits}`;
}

/** Which addresses lie in a network that `parseNetwork` answered. */
export function addressesIn(network: string): (address: string) => boolean {
  const [base = '', bits] = network.split('/');
  const list = new BlockList();
  list.addSubnet(base, Number(bits), familyOf(isIP(base)));
  return (address) => {
    const version = isIP(address);
    return version !== 0 && list.check(address, familyOf(version));
  };
}

function familyOf(version: number): 'ipv4' | 'ipv6' {
  return version === 4 ? 'ipv4' : 'ipv6';
}

function noNetwork(text: string): BerthError {
  return new BerthError('bindingInvalid', `'${text.slice(0, 100)}' is no address or network such as 10.1.2.0/24`);
}
