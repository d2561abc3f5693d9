import type { Headers, Outbound } from '../../../platform/outbound/outbound.ts';
import { OutboundError } from '../../../platform/outbound/outbound-error.ts';

/** A provider that said no, or cannot be asked: why, for whoever set up the task. */
export class ProviderError extends Error {}

export type Caller = Pick<Outbound, 'call'>;

type Asked = {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly credentials: Headers;
  readonly body?: object;
};

/** Lists of subscriptions are long. */
const maxBytes = 8 * 1024 * 1024;
const timeoutMs = 20_000;
const gone = [404, 410];

/** What a provider answers, as JSON; to a removal nothing. Redirects are not followed. Throws ProviderError. */
export async function askProvider(outbound: Caller, { method, url, credentials, body }: Asked): Promise<unknown> {
  const response = await call(outbound, {
    url,
    method,
    headers: { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) },
    credentials,
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await textOf(response.body, url);
  const isDone = response.status < 300 || (method === 'DELETE' && gone.includes(response.status));
  if (!isDone)
    throw new ProviderError(
      `${new URL(url).host} answered ${response.status}: check that the access token may administer webhooks of the repository`,
    );
  return text === '' || method === 'DELETE' ? undefined : parse(text, url);
}

/** Whether an address answers a stranger with JSON and one of the statuses. Throws ProviderError. */
export async function answersProvider(outbound: Caller, url: string, statuses: readonly number[]): Promise<boolean> {
  const response = await call(outbound, { url });
  await response.discard();
  return statuses.includes(response.status) && (response.headers.get('content-type') ?? '').includes('json');
}

async function call(
  outbound: Caller,
  request: Omit<Parameters<Caller['call']>[0], 'maxBytes' | 'timeoutMs'>,
): ReturnType<Caller['call']> {
  try {
    const limits = { maxRedirects: 0, maxBytes, timeoutMs, totalTimeoutMs: 2 * timeoutMs };
    return await outbound.call({ ...limits, ...request });
  } catch (error) {
    throw providerError(error, request.url);
  }
}

async function textOf(body: AsyncIterable<Uint8Array>, url: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of body) pieces.push(piece);
  } catch (error) {
    throw providerError(error, url);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function providerError(error: unknown, url: string): unknown {
  if (!(error instanceof OutboundError)) return error;
  return new ProviderError(`${new URL(url).host}: ${error.message}`, { cause: error });
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ProviderError(`${new URL(url).host} answered something that is no JSON`);
  }
}
