import { isIP } from 'node:net';

/** A Host header taken apart. `name` is in lower case, without the brackets of an IPv6 address. */
export type HostName = { readonly name: string; readonly port: number | undefined };

/** Both hosts of the control plane answer all of it: the two names are there for the endpoints clients are given. */
const controlLabels = ['management', 'login'];

/** The control plane (resources, sign-in, directory, administration), or registries with their content. */
export type Part = 'control' | 'registry';

/** Which part of the installation a host stands for (house plan, "Hosts"). */
export type Place =
  /** `localhost` or an address: every surface, and the default registry. */
  | { readonly kind: 'local' }
  | { readonly kind: Part }
  /** `<registry>.blob.<domain>`: files for builds, and their logs. */
  | { readonly kind: 'storage' };

/** Undefined for anything but a host name or address with an optional port. Source: RFC 9110, section 7.2. */
export function parseHostName(text: string): HostName | undefined {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9a-fA-F:.]{2,45})\]|([a-zA-Z0-9._-]{1,253}))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const name = (bracketed ?? plain)?.toLowerCase();
  if (name === undefined || (bracketed !== undefined && isIP(name) !== 6)) return undefined;
  return { name, port: port === undefined ? undefined : Number(port) };
}

/** Undefined for a name below no part of this installation; `domain` in lower case. */
export function placeOf(name: string, domain: string): Place | undefined {
  if (name === 'localhost' || isIP(name) !== 0) return { kind: 'local' };
  if (!name.endsWith(`.${domain}`)) return undefined;
  if (registryHostOf(name, domain) !== name) return { kind: 'storage' };
  const isControl = controlLabels.some((label) => name === `${label}.${domain}`);
  return { kind: isControl ? 'control' : 'registry' };
}

/** `<registry>.<domain>` of `<registry>.blob.<domain>`; any other name as it is. */
export function registryHostOf(name: string, domain: string): string {
  const end = `.blob.${domain}`;
  return name.endsWith(end) ? `${name.slice(0, -end.length)}.${domain}` : name;
}

/** Whether a Host header names this machine rather than a name of the installation. */
export function isLocalHost(header: string): boolean {
  const name = parseHostName(header)?.name;
  return name !== undefined && placeOf(name, '')?.kind === 'local';
}
