import type { Readable } from 'node:stream';
import { type BlobClientOptions, RestError } from '@azure/storage-blob';
import type { Outbound, OutboundRequest } from '../../outbound/outbound.ts';
import { OutboundError } from '../../outbound/outbound-error.ts';
import { readOnDemand } from '../read-on-demand.ts';
import { SilentBody } from './silent-body.ts';

type Client = NonNullable<BlobClientOptions['httpClient']>;
type Request = Parameters<Client['sendRequest']>[0];
type Response = Awaited<ReturnType<Client['sendRequest']>>;

/** Headers that Outbound writes by itself. */
const ownHeaders = ['host', 'content-length', 'connection'];
/** Listings of one page, and errors. */
const maxTextBytes = 64 * 1024 * 1024;

/** Sends what the SDK has signed through the one gateway; faults that can pass have the code that the SDK tries again for. */
export function createOutboundClient(outbound: Outbound): Client {
  return {
    sendRequest: async (request) => {
      try {
        const answer = await outbound.call(callOf(request));
        const head = { request, status: answer.status, headers: headersOf(request, answer.headers) };
        const isStream = request.streamResponseStatusCodes?.has(answer.status) === true;
        if (isStream || request.streamResponseStatusCodes?.has(Number.POSITIVE_INFINITY) === true)
          return { ...head, readableStreamBody: streamOf(request, answer.body) };
        return { ...head, bodyAsText: await textOf(answer.body) };
      } catch (cause) {
        throw retriable(cause);
      }
    },
  };
}

/** The SDK reads what batches answer; what a download answers `download` does. */
function streamOf({ method }: Request, body: AsyncIterable<Uint8Array>): Readable {
  return method === 'GET' ? new SilentBody(body) : readOnDemand(body);
}

function callOf(request: Request): OutboundRequest {
  const headers = request.headers
    .headersArray()
    .map(({ name, value }): [string, string] => [name.toLowerCase(), value]);
  const entries = headers.filter(([name]) => !ownHeaders.includes(name));
  const isSecret = ([name]: [string, string]) => name === 'authorization';
  const { abortSignal, body } = request;
  return {
    url: request.url,
    method: methodOf(request.method),
    headers: Object.fromEntries(entries.filter((entry) => !isSecret(entry))),
    credentials: Object.fromEntries(entries.filter(isSecret)),
    ...((typeof body === 'string' || body instanceof Uint8Array) && { body }),
    ...(abortSignal instanceof AbortSignal && { signal: abortSignal }),
    maxBytes: Number.MAX_SAFE_INTEGER,
    maxRedirects: 0,
  };
}

function methodOf(method: string): 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' {
  const known = (['GET', 'HEAD', 'POST', 'PUT', 'DELETE'] as const).find((name) => name === method);
  if (known === undefined) throw new Error(`the store's client sent the method ${method}`);
  return known;
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of body) {
    total += chunk.length;
    if (total > maxTextBytes) throw new OutboundError('tooLarge', 'the answer is larger than its limit');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The SDK's own kind of header list, of which only a filled one can be had. */
function headersOf(request: Request, answered: ReadonlyMap<string, string>): Response['headers'] {
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  for (const [name, value] of answered) headers.set(name, value);
  return headers;
}

function retriable(cause: unknown): unknown {
  if (!(cause instanceof OutboundError) || !cause.isTemporary) return cause;
  const error = new RestError(cause.message, { code: RestError.REQUEST_SEND_ERROR });
  error.cause = cause;
  return error;
}
