import { isIP } from 'node:net';
import type { Bootstrap } from './bootstrap-file.ts';
import { type RegistryName, registryKey } from './core/registry-name.ts';
import { type Address, publicPortOf, type Settings } from './settings.ts';

/** `<name>.<domain>`, with the public port unless it is 443. */
export function loginServerOf(settings: Settings, name: RegistryName | string): string {
  const port = publicPortOf(settings);
  return `${registryKey(name)}.${settings.domain}${port === 443 ? '' : `:${port}`}`;
}

/** Of login servers as clients reach them: proxies that are trusted speak HTTPS. */
export function loginServerSchemeOf({ https, trustedProxies }: Settings): 'http' | 'https' {
  return https === undefined && trustedProxies.length === 0 ? 'http' : 'https';
}

/** Origin at which this machine reaches the server without any name to resolve; undefined when it listens nowhere. */
export function localOrigin(settings: Settings): string | undefined {
  if (settings.https !== undefined) return `https://${reachable(settings.https)}`;
  return settings.http === undefined ? undefined : `http://${reachable(settings.http)}`;
}

/** Host and port for a client on this machine. */
export function reachable({ host, port }: Address): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  return `${everywhere ? 'localhost' : host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** As `localOrigin`, for the control plane, which may have a listener of its own. */
function controlOrigin(settings: Settings): string | undefined {
  const { management } = settings;
  return management === undefined ? localOrigin(settings) : `https://${reachable(management)}`;
}

/** Management, login, Graph and portal share one origin on this machine (house plan, "Hosts"). */
export function endpointsOf(settings: Settings, registryName: string): Bootstrap['endpoints'] {
  const origin = controlOrigin(settings) ?? '';
  const registry = `${loginServerSchemeOf(settings)}://${loginServerOf(settings, registryName)}`;
  return { management: origin, login: origin, graph: origin, portal: origin, registry };
}

/** Every host name the private authority certifies besides login servers. */
export function ownNames(settings: Settings): readonly string[] {
  const { domain } = settings;
  return ['localhost', domain, `management.${domain}`, `login.${domain}`, `portal.${domain}`];
}

/** Every address that it certifies besides those of localhost: where clients reach HTTPS without a name. */
export function ownIpAddresses({ https, management }: Settings): readonly string[] {
  const hosts = [https, management].flatMap((address) => (address === undefined ? [] : [address.host]));
  const known = ['127.0.0.1', '::1', '0.0.0.0', '::'];
  return [...new Set(hosts)].filter((host) => isIP(host) !== 0 && !known.includes(host));
}
