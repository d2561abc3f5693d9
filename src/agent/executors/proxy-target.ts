import type { AddressCheck } from '../../platform/outbound/address-check.ts';
import { hostNameOf } from '../../platform/outbound/outbound-url.ts';
import type { NameLookup } from './name-lookup.ts';

export type ProxyRules = {
  readonly isAllowed: AddressCheck;
  /** Where the operator sends calls to a name (lower case) instead; these targets are not checked. */
  readonly hosts: ReadonlyMap<string, { readonly host: string; readonly port: number }>;
};

const firstFreePort = 1024;

/** What a name is connected to, by the look-ups of its cell. Throws Error with a text for the person who asked when the rules do not allow it. */
export async function resolveTarget(
  rules: ProxyRules,
  find: NameLookup,
  { hostName, port }: { readonly hostName: string; readonly port: number },
): Promise<{ host: string; port: number }> {
  const name = hostNameOf(hostName);
  const chosen = rules.hosts.get(name);
  if (chosen !== undefined) return { ...chosen };
  // As for every call of ours: others belong to services that a request could be made to confuse.
  if (port < firstFreePort && port !== 80 && port !== 443) throw new Error(`port ${port} is not open to builds`);
  const addresses = await find(name);
  const [first] = addresses;
  if (first === undefined) throw new Error(`${name} has no address, or no name server answers`);
  if (!addresses.every((address) => rules.isAllowed(address))) {
    throw new Error(
      `${name} is no public address, or one of this machine: open it with --outbound-allow where the agent runs`,
    );
  }
  return { host: first, port };
}
