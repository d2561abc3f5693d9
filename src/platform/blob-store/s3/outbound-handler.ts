import type { S3ClientConfig } from '@aws-sdk/client-s3';
import type { Outbound, OutboundRequest } from '../../outbound/outbound.ts';
import { OutboundError } from '../../outbound/outbound-error.ts';
import { readOnDemand } from '../read-on-demand.ts';

/** What the SDK wants sent. */
export type SdkRequest = {
  readonly method: string;
  /** With its colon. */
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
};
type SdkOptions = { readonly abortSignal?: unknown };

/** Headers that Outbound writes by itself, or that its client refuses. None of them is signed by value but `host`, which agrees. */
const ownHeaders = ['host', 'expect', 'content-length'];

/** Sends what the SDK has signed through the one gateway. Faults that can pass have a name that the SDK tries again for. */
export function createOutboundHandler(outbound: Outbound): NonNullable<S3ClientConfig['requestHandler']> {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    handle: async (request: SdkRequest, { abortSignal }: SdkOptions = {}) => {
      try {
        const answer = await outbound.call({
          ...callOf(request),
          ...(abortSignal instanceof AbortSignal && { signal: abortSignal }),
        });
        const body = readOnDemand(answer.body);
        const headers = Object.fromEntries(answer.headers);
        return { response: { statusCode: answer.status, headers, body } };
      } catch (cause) {
        throw retriable(cause);
      }
    },
    updateHttpClientConfig: () => {},
    httpHandlerConfigs: () => ({}),
  };
}

function callOf(request: SdkRequest): OutboundRequest {
  const entries = Object.entries(request.headers).filter(([name]) => !ownHeaders.includes(name.toLowerCase()));
  const isSecret = ([name]: [string, string]) => name.toLowerCase() === 'authorization';
  return {
    url: urlOf(request),
    method: methodOf(request.method),
    headers: Object.fromEntries(entries.filter((entry) => !isSecret(entry))),
    credentials: Object.fromEntries(entries.filter(isSecret)),
    ...(isBody(request.body) && { body: request.body }),
    maxBytes: Number.MAX_SAFE_INTEGER,
    maxRedirects: 0,
  };
}

/** Escaped as the SDK escapes what it signs. */
export function urlOf({ protocol, hostname, port, path, query = {} }: SdkRequest): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    const values = Array.isArray(value) ? value : [value];
    return values.map((text) => `${escaped(name)}=${escaped(text ?? '')}`);
  });
  const host = port === undefined ? hostname : `${hostname}:${port}`;
  return `${protocol}//${host}${path}${pairs.length === 0 ? '' : `?${pairs.join('&')}`}`;
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

function methodOf(method: string): 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' {
  const known = (['GET', 'HEAD', 'POST', 'PUT', 'DELETE'] as const).find((name) => name === method);
  if (known === undefined) throw new Error(`the store's client sent the method ${method}`);
  return known;
}

function isBody(body: unknown): body is string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array;
}

/** The name is one of those that the SDK counts as transient. */
function retriable(cause: unknown): unknown {
  if (!(cause instanceof OutboundError) || !cause.isTemporary) return cause;
  const error = new Error(cause.message, { cause });
  error.name = 'TimeoutError';
  return error;
}
