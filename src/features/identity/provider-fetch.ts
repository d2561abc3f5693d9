import type { CustomFetch, CustomFetchOptions } from 'openid-client';
import type { Outbound, OutboundResponse } from '../../platform/outbound/outbound.ts';

const maxAnswerBytes = 256 * 1024;
const timeoutMs = 10_000;

export type ProviderOutbound = Pick<Outbound, 'call'>;

/** The provider gave no answer, or one of its own faults. */
export class ProviderDown extends Error {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'ProviderDown';
  }
}

/** The calls of openid-client, made through the outbound gateway. Throws ProviderDown. */
export function createProviderFetch(outbound: ProviderOutbound): CustomFetch {
  return async (url, options) => {
    const { status, headers, bytes } = await send(outbound, url, options);
    if (status >= 500) throw new ProviderDown(`the provider answered ${status}`);
    return new Response(bytes.byteLength === 0 ? null : bytes, { status, headers: [...headers] });
  };
}

async function send(outbound: ProviderOutbound, url: string, options: CustomFetchOptions) {
  const { authorization, ...headers } = Object.fromEntries(new Headers(options.headers));
  const form = formOf(options.body);
  try {
    const answer = await outbound.call({
      url,
      method: options.method === 'POST' ? 'POST' : 'GET',
      headers,
      ...(authorization === undefined ? {} : { credentials: { authorization } }),
      ...(form === undefined ? {} : { body: form }),
      maxBytes: maxAnswerBytes,
      totalTimeoutMs: timeoutMs,
      maxRedirects: 0,
    });
    return { status: answer.status, headers: answer.headers, bytes: await bytesOf(answer) };
  } catch (cause) {
    throw new ProviderDown('the provider cannot be reached', { cause });
  }
}

async function bytesOf({ body }: OutboundResponse): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** All that openid-client sends are forms. */
function formOf(body: CustomFetchOptions['body']): string | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === 'string' || body instanceof URLSearchParams) return body.toString();
  throw new TypeError('a form was expected');
}
