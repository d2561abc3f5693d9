import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type AddressCheck, createAddressCheck } from '../../platform/outbound/address-check.ts';

/** The addresses that this machine has at the moment, also public ones. */
export function addressesOfMachine(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
}

/**
 * Where builds may go: public addresses but those of this machine, and what the operator opened (networks in CIDR form). A
 * firewall lets nobody outside reach the machine's own services; an agent calls from behind it. Runs have the registry by
 * another way. Throws RangeError for a malformed network.
 */
export function createBuildAddressCheck(
  allow: readonly string[],
  ownAddresses: () => readonly string[] = addressesOfMachine,
): AddressCheck {
  const isAllowed = createAddressCheck(allow);
  const opened = new BlockList();
  for (const network of allow) {
    const [address = '', bits = ''] = network.split('/');
    opened.addSubnet(address, Number(bits), typeOf(address));
  }
  return (address) => {
    if (!isAllowed(address)) return false;
    if (opened.check(address, typeOf(address))) return true;
    const own = new BlockList();
    for (const each of ownAddresses()) if (isIP(each) !== 0) own.addAddress(each, typeOf(each));
    return !own.check(address, typeOf(address));
  };
}

function typeOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6';
}
