import { z } from 'zod';
import { mediaTypes } from '../../../core/media-types.ts';
import type { Outbound, OutboundResponse } from '../../../platform/outbound/outbound.ts';
import { OutboundError } from '../../../platform/outbound/outbound-error.ts';

/** A tag at another registry. */
export type RemoteTag = { readonly host: string; readonly repository: string; readonly tag: string };
export type RemoteLogin = { readonly username: string; readonly password: string };

/** A registry that cannot be asked for a digest: why, never with a secret in it. */
export class RemoteRegistryError extends Error {}

type Caller = Pick<Outbound, 'call'>;

const maxBytes = 1024 * 1024;
const timeoutMs = 20_000;
const accepted = [mediaTypes.ociIndex, mediaTypes.ociManifest, mediaTypes.dockerList, mediaTypes.dockerManifest].join(
  ', ',
);
const tokenSchema = z.looseObject({ token: z.string().optional(), access_token: z.string().optional() });
/** The name that people use of Docker Hub is not that of its registry, and its tokens come from a third. */
const dockerHub = { name: 'docker.io', registry: 'registry-1.docker.io', tokens: 'auth.docker.io' };

/**
 * The digest that a tag points at now; undefined when the registry has no such tag. A credential goes to the registry itself,
 * or to the host of tokens that it is known by, and to no other that it names. Throws RemoteRegistryError.
 * Source: OCI distribution specification, "Checking if content exists in the registry"; Docker token specification.
 */
export async function readRemoteDigest(
  outbound: Caller,
  tag: RemoteTag,
  login?: RemoteLogin,
): Promise<string | undefined> {
  const first = await head(outbound, tag, undefined);
  const answer =
    first.status === 401 ? await head(outbound, tag, await authorizationFor(outbound, tag, first, login)) : first;
  if (answer.status === 404) return undefined;
  const digest = answer.headers.get('docker-content-digest');
  if (answer.status === 200 && digest !== undefined && /^[a-z0-9]+:[0-9a-f]{32,128}$/.test(digest)) return digest;
  throw new RemoteRegistryError(
    `${tag.host} answered ${answer.status}${answer.status === 200 ? ' without a digest' : ''}`,
  );
}

async function head(outbound: Caller, { host, repository, tag }: RemoteTag, authorization: string | undefined) {
  return await call(outbound, host, {
    url: `${originOf(host)}/v2/${repository}/manifests/${tag}`,
    method: 'HEAD',
    headers: { accept: accepted },
    ...(authorization === undefined ? {} : { credentials: { authorization } }),
    maxBytes,
    timeoutMs,
  });
}

/** What the challenge of a registry asks for: a token, or name and password. */
async function authorizationFor(
  outbound: Caller,
  { host, repository }: RemoteTag,
  refused: OutboundResponse,
  login: RemoteLogin | undefined,
): Promise<string | undefined> {
  const challenge = refused.headers.get('www-authenticate') ?? '';
  const basic = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  if (/^basic\b/i.test(challenge)) return basic;
  const realm = URL.parse(/\brealm="([^"]+)"/i.exec(challenge)?.[1] ?? '');
  if (!/^bearer\b/i.test(challenge) || realm === null)
    throw new RemoteRegistryError(`${host} asks for a sign-in of a kind that is not known`);
  const service = /\bservice="([^"]*)"/i.exec(challenge)?.[1];
  if (service !== undefined) realm.searchParams.set('service', service);
  realm.searchParams.set('scope', `repository:${repository}:pull`);
  const isKnown = realm.origin === originOf(host) || (host === dockerHub.name && realm.hostname === dockerHub.tokens);
  const credentials = basic !== undefined && isKnown ? { authorization: basic } : undefined;
  const answer = await call(outbound, host, {
    url: realm.href,
    ...(credentials === undefined ? {} : { credentials }),
    maxBytes,
    timeoutMs,
    totalTimeoutMs: 2 * timeoutMs,
  });
  const body = tokenSchema.safeParse(parse(await textOf(answer, host)));
  const token = body.data?.token ?? body.data?.access_token;
  if (answer.status !== 200 || token === undefined)
    throw new RemoteRegistryError(`the tokens of ${host} cannot be had: ${realm.hostname} answered ${answer.status}`);
  return `Bearer ${token}`;
}

/** Loopback registries speak plain HTTP, as clients have it. */
function originOf(host: string): string {
  if (host === dockerHub.name) return `https://${dockerHub.registry}`;
  const isLoopback = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host);
  return `${isLoopback ? 'http' : 'https'}://${host}`;
}

async function call(outbound: Caller, host: string, request: Parameters<Caller['call']>[0]): Promise<OutboundResponse> {
  try {
    return await outbound.call(request);
  } catch (error) {
    throw remoteError(error, host);
  }
}

async function textOf(answer: OutboundResponse, host: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of answer.body) pieces.push(piece);
  } catch (error) {
    throw remoteError(error, host);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function remoteError(error: unknown, host: string): unknown {
  if (!(error instanceof OutboundError)) return error;
  return new RemoteRegistryError(`${host}: ${error.message}`, { cause: error });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told with the status.
    return undefined;
  }
}
