import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { Outbound } from '../platform/outbound/outbound.ts';
import { OutboundError } from '../platform/outbound/outbound-error.ts';
import type { RegistryCredential } from '../wire/builds/agent-protocol.ts';
import { RunFailure } from './run-failure.ts';

export type RegistryTokenRequest = {
  /** Reaches the registry. */
  readonly registry: Pick<Outbound, 'call'>;
  /** `https:`, as the installation speaks. */
  readonly protocol: string;
  readonly credential: RegistryCredential;
  /** `repository:name:pull,push` */
  readonly scopes: readonly string[];
  readonly signal: AbortSignal;
};

export type RegistryToken = { readonly token: string; readonly lifetimeSeconds: number };

const maxBytes = 1024 * 1024;
const answerSchema = z.looseObject({ access_token: z.string().min(1), expires_in: z.number().positive() });

/**
 * Buys a token of a registry of this installation that is good for these scopes alone, as far as the credential is. Throws
 * RunFailure. Source: Docker registry token authentication; ACR semantics, "Token flow".
 */
export async function registryToken(request: RegistryTokenRequest): Promise<RegistryToken> {
  const { registry, protocol, credential, scopes, signal } = request;
  const { server, username, password } = credential;
  const query = new URLSearchParams(scopes.map((scope) => ['scope', scope]));
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const fail = (why: string, cause?: unknown) => new RunFailure(`failed to login to ${server}: ${why}`, { cause });
  try {
    const answer = await registry.call({
      url: `${protocol}//${server}/oauth2/token?${query}`,
      credentials: { authorization },
      ...{ maxBytes, maxRedirects: 0, signal },
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    if (answer.status !== 200) {
      const reason = STATUS_CODES[answer.status] ?? 'unknown';
      throw fail(`it answered ${answer.status} (${reason}) to who asked for a token`);
    }
    const body = answerSchema.safeParse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
    if (!body.success) throw fail('it answered no token');
    return { token: body.data.access_token, lifetimeSeconds: body.data.expires_in };
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof OutboundError ? fail(cause.message, cause) : cause;
  }
}
