import { z } from 'zod';
import type { Outbound, OutboundResponse } from '../../platform/outbound/outbound.ts';
import { OutboundError } from '../../platform/outbound/outbound-error.ts';
import type { RegistryCredential } from '../../wire/builds/agent-protocol.ts';
import { RunFailure } from '../run-failure.ts';

export type RepositoryAddress = {
  /** With its port, as people write it. */
  readonly server: string;
  readonly repository: string;
  readonly credential: RegistryCredential | undefined;
};

export type ReaderParts = {
  /** Reaches the registry. */
  readonly registry: Pick<Outbound, 'call'>;
  /** Reaches where the registry sends its callers for blobs. */
  readonly outbound: Pick<Outbound, 'call'>;
  readonly signal: AbortSignal;
};

/** Opens a path below the repository, `manifests/v1` or `blobs/sha256:…`. Throws RunFailure for every answer but 200. */
export type ReadRepository = (
  path: string,
  options: { readonly accept?: string; readonly maxBytes: number },
) => Promise<AsyncIterable<Uint8Array>>;

const maxTokenBytes = 1024 * 1024;
const maxShownBytes = 1_000;
/** Of Docker Hub: what people write, where it answers, and where its tokens come from. */
const hub = { name: 'docker.io', registry: 'registry-1.docker.io', tokens: 'auth.docker.io' };
const tokenSchema = z.looseObject({ token: z.string().optional(), access_token: z.string().optional() });

/**
 * Reads a repository by its registry's own sign-in. The credential goes to the registry, and to the host of tokens that it is
 * known by; to no other that an answer names. Source: OCI distribution specification, "Pull"; security rule 19.
 */
export function createRepositoryReader(parts: ReaderParts, address: RepositoryAddress): ReadRepository {
  const origin = originOf(address.server);
  let authorization: string | undefined;
  return async (path, { accept, maxBytes }) => {
    const ask = () =>
      called(parts.registry, address, {
        url: `${origin}/v2/${address.repository}/${path}`,
        ...(accept === undefined ? {} : { headers: { accept } }),
        ...(authorization === undefined ? {} : { credentials: { authorization } }),
        ...{ maxBytes, maxRedirects: 0, signal: parts.signal },
      });
    let answer = await ask();
    if (answer.status === 401) {
      const challenge = answer.headers.get('www-authenticate') ?? '';
      await answer.discard();
      authorization = await authorizationFor(parts, address, challenge);
      answer = await ask();
    }
    return await bodyOf(parts, { address, path, maxBytes }, answer);
  };
}

type Reading = { readonly address: RepositoryAddress; readonly path: string; readonly maxBytes: number };

async function bodyOf(
  parts: ReaderParts,
  { address, path, maxBytes }: Reading,
  first: OutboundResponse,
): Promise<AsyncIterable<Uint8Array>> {
  let answer = first;
  const location = first.headers.get('location');
  if (first.status >= 300 && first.status < 400 && location !== undefined) {
    await first.discard();
    const url = URL.parse(location, first.url)?.href ?? '';
    answer = await called(parts.outbound, address, { url, maxBytes, signal: parts.signal });
  }
  if (answer.status === 200) return answer.body;
  throw new RunFailure(
    `cannot fetch oci://${address.server}/${address.repository} (${path}): ${answer.status} ${(await textOf(answer, maxShownBytes)).trim()}`,
  );
}

/** What the challenge of a registry asks for: a token, or name and password. */
async function authorizationFor(
  parts: ReaderParts,
  address: RepositoryAddress,
  challenge: string,
): Promise<string | undefined> {
  const { server, repository, credential } = address;
  const basic =
    credential && `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`;
  if (/^basic\b/i.test(challenge)) return basic;
  const realm = URL.parse(/\brealm="([^"]+)"/i.exec(challenge)?.[1] ?? '');
  if (!/^bearer\b/i.test(challenge) || realm === null)
    throw new RunFailure(`${server} asks for a sign-in of a kind that is not known`);
  const service = /\bservice="([^"]*)"/i.exec(challenge)?.[1];
  if (service !== undefined) realm.searchParams.set('service', service);
  realm.searchParams.set('scope', `repository:${repository}:pull`);
  const isOwn = realm.origin === originOf(server);
  const isKnown = isOwn || (server === hub.name && realm.hostname === hub.tokens);
  const answer = await called(isOwn ? parts.registry : parts.outbound, address, {
    url: realm.href,
    ...(basic !== undefined && isKnown ? { credentials: { authorization: basic } } : {}),
    ...{ maxBytes: maxTokenBytes, maxRedirects: 0, signal: parts.signal },
  });
  const text = await textOf(answer, maxTokenBytes);
  const body = tokenSchema.safeParse(jsonOf(text));
  const token = body.data?.token ?? body.data?.access_token;
  if (answer.status === 200 && token !== undefined) return `Bearer ${token}`;
  const help = credential === undefined ? '; the run has no credential for it' : '';
  throw new RunFailure(`failed to login to ${server}: ${realm.hostname} answered ${answer.status}${help}`);
}

/** Registries on loopback speak plain HTTP, as clients have it. */
function originOf(server: string): string {
  if (server === hub.name) return `https://${hub.registry}`;
  return `${/^(?:localhost|127\.0\.0\.1|\[::1\])(?::|$)/.test(server) ? 'http' : 'https'}://${server}`;
}

async function called(
  outbound: Pick<Outbound, 'call'>,
  { server, repository }: RepositoryAddress,
  request: Parameters<Outbound['call']>[0],
): Promise<OutboundResponse> {
  try {
    return await outbound.call(request);
  } catch (cause) {
    request.signal?.throwIfAborted();
    if (!(cause instanceof OutboundError)) throw cause;
    throw new RunFailure(`cannot fetch oci://${server}/${repository}: ${cause.message}`, { cause });
  }
}

async function textOf(answer: OutboundResponse, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > maxBytes) break;
  }
  return Buffer.concat(chunks).toString('utf8').slice(0, maxBytes);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told with the status.
    return undefined;
  }
}
