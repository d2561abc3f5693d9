import type { BlockList } from 'node:net';
import type { Context, MiddlewareHandler } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Directory } from '../../features/registries/directory.ts';
import type { Registry } from '../../features/registries/registry.ts';
import type { Ids } from '../../platform/ids.ts';
import { isArmPath } from '../arm/arm-path.ts';
import { isBlobPath } from '../blob/render-blob-error.ts';
import { isTenantPath } from '../login/tenant-path.ts';
import { correlationHeader, correlationIdOf } from './correlation-id.ts';
import type { Env } from './env.ts';
import { clientBehind, type Peer } from './forwarded.ts';
import { type Part, type Place, parseHostName, placeOf, registryHostOf } from './host-name.ts';
import { type ObserveParts, observe } from './observe.ts';
import { refuseRest } from './refuse-rest.ts';
import { setStandardHeaders } from './standard-headers.ts';

export type ExchangeParts = ObserveParts & {
  readonly ids: Ids;
  readonly domain: string;
  /** What the listener serves; both parts when absent. */
  readonly part?: Part;
  readonly directory: Pick<Directory, 'byHost' | 'lookUp' | 'defaultRegistry'>;
  readonly trustedProxies: BlockList | undefined;
  readonly isStopping: () => boolean;
};

/** Answered whatever host was asked: probes call addresses, not names. */
const hostless = ['/healthz', '/readyz', '/metrics'];

/**
 * The outermost middleware: finds out who calls and which registry the host stands for, puts the standard headers on the
 * answer, and has the exchange observed. Throws `hostUnknown` and `routeUnknown`.
 */
export function exchange(parts: ExchangeParts): MiddlewareHandler<Env> {
  const { clock } = parts;
  return async (c, next) => {
    const { incoming, outgoing } = c.env ?? {};
    const peer = peerOf(c);
    const client = clientBehind(peer, parts.trustedProxies);
    const correlationId = correlationIdOf(headerOf(c, correlationHeader), parts.ids);
    const answered = { correlationId, isEncrypted: client.scheme === 'https' };
    const { address } = client;
    const path = c.req.path;
    if (incoming && outgoing) {
      setStandardHeaders(c, answered);
      if (parts.isStopping()) outgoing.setHeader('Connection', 'close');
      observe(parts, incoming, outgoing, { correlationId, address, path, who: () => whoOf(c) });
    }
    try {
      c.set('call', {
        correlationId,
        address,
        origin: `${client.scheme}://${client.host ?? ''}`,
        userAgent: headerOf(c, 'user-agent'),
        registry: findRegistry(parts, client.host, path) ?? (await lookUpRegistry(parts, client.host)),
      });
      await next();
    } finally {
      if (incoming && outgoing) await refuseRest(incoming, outgoing, clock);
      else setStandardHeaders(c, answered);
    }
  };
}

/** From memory. Undefined for a host below our domain that stands for no registry we know of. */
function findRegistry(parts: ExchangeParts, host: string | undefined, path: string): Registry | undefined {
  if (hostless.includes(path)) return defaultRegistry(parts);
  const name = host === undefined ? undefined : parseHostName(host)?.name;
  const place = name === undefined ? undefined : placeOf(name, parts.domain);
  if (host === undefined || place === undefined) throw new BerthError('hostUnknown');
  if (!isServed(parts.part, place, path)) throw new BerthError('routeUnknown');
  if (place.kind === 'storage') return parts.directory.byHost(registryHostOf(name ?? '', parts.domain));
  return place.kind === 'registry' ? parts.directory.byHost(host) : defaultRegistry(parts);
}

function defaultRegistry({ directory }: ExchangeParts): Registry {
  const registry = directory.defaultRegistry();
  if (registry === undefined) throw new BerthError('registryUnknown');
  return registry;
}

/** Another process may have made it just now. */
async function lookUpRegistry({ directory, domain }: ExchangeParts, host: string | undefined): Promise<Registry> {
  const name = host === undefined ? undefined : parseHostName(host)?.name;
  const registry = name === undefined ? undefined : await directory.lookUp(registryHostOf(name, domain));
  if (registry === undefined) throw new BerthError('hostUnknown');
  return registry;
}

/** The control plane answers on `management.<domain>` and `login.<domain>`, registries on their names, and both on localhost. */
function isServed(part: Part | undefined, place: Place, path: string): boolean {
  if (isBlobPath(path) || place.kind === 'storage')
    return part !== 'control' && isBlobPath(path) && place.kind !== 'control' && place.kind !== 'registry';
  const isControl =
    path.startsWith('/admin/') ||
    path.startsWith('/hooks/') ||
    path.startsWith('/agent/') ||
    isArmPath(path) ||
    isTenantPath(path);
  const asked: Part = isControl ? 'control' : 'registry';
  return (part ?? asked) === asked && (place.kind === 'local' || place.kind === asked);
}

/** As far as the routes found out. */
function whoOf(c: Context<Env>): Readonly<Record<string, string>> {
  const call: Env['Variables']['call'] | undefined = c.var.call;
  const { principal } = c.var;
  return {
    ...(call && { registry: call.registry.name }),
    ...(principal && { identity: principal.uid, identityName: principal.name }),
  };
}

function peerOf(c: Context<Env>): Peer {
  const socket = c.env?.incoming?.socket;
  return {
    address: socket?.remoteAddress ?? '',
    isEncrypted: socket !== undefined && 'encrypted' in socket,
    host: headerOf(c, 'host'),
    forwardedFor: headerOf(c, 'x-forwarded-for'),
    forwardedProto: headerOf(c, 'x-forwarded-proto'),
    forwardedHost: headerOf(c, 'x-forwarded-host'),
  };
}

/** Node's own parsed headers where there are some: making a `Headers` of them costs more than the rest of a small request. */
function headerOf(c: Context<Env>, name: string): string | undefined {
  const incoming = c.env?.incoming;
  if (incoming === undefined) return c.req.header(name);
  const value = incoming.headers[name];
  return typeof value === 'string' ? value : undefined;
}
