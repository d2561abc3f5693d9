import { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import type { Clock } from '../clock.ts';
import { type AddressCheck, createAddressCheck } from './address-check.ts';
import { createCheckedAgent, type Resolve, type Target } from './checked-agent.ts';
import { Deadlines } from './deadlines.ts';
import { OutboundError } from './outbound-error.ts';
import { parseOutboundUrl, parseRedirect } from './outbound-url.ts';

export type Headers = Readonly<Record<string, string>>;

export type OutboundRequest = {
  readonly url: string;
  /** `GET` unless given. Redirects of other methods than GET and HEAD are not followed: the answer is the redirect itself. */
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
  /** Go along with redirects to any host. */
  readonly headers?: Headers;
  /** Headers that hold a secret (Authorization and the like): sent to the origin of `url` alone. */
  readonly credentials?: Headers;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** Bytes of the answer's body, as sent. */
  readonly maxBytes: number;
  /** From the call to the head of the last answer, redirects included; 30 s unless given. */
  readonly timeoutMs?: number;
  /** From the call to the end of the body; unlimited unless given. */
  readonly totalTimeoutMs?: number;
  /** Between two pieces of the body; 30 s unless given. */
  readonly idleTimeoutMs?: number;
  /** 5 unless given; 0 answers with the redirect itself. */
  readonly maxRedirects?: number;
  readonly signal?: AbortSignal;
};

export type OutboundResponse = {
  readonly status: number;
  /** Lower-case names; a header sent several times is joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  /** After redirects. */
  readonly url: string;
  /** Read to the end, or left early; else call `discard`. Not decompressed. Throws OutboundError. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Gives up the body, which is read past for two seconds at most. Never throws. */
  readonly discard: () => Promise<void>;
};

/**
 * The one way out for every call we make (rules 18 and 19): http and https, usual ports, public addresses and those the
 * operator opened, each connection and each redirect checked, credentials for one origin. Throws OutboundError.
 */
export type Outbound = {
  readonly call: (request: OutboundRequest) => Promise<OutboundResponse>;
  readonly close: () => Promise<void>;
};

export type OutboundOptions = {
  /** Networks in CIDR form that are open although they are not public. */
  readonly allow: readonly string[];
  /** In place of `allow`: which addresses are open. */
  readonly isAllowed?: AddressCheck;
  /** Names (lower-case) that the operator sends elsewhere, by the same scheme and with the same name in TLS. */
  readonly hosts: ReadonlyMap<string, Target>;
  readonly clock: Clock;
  /** PEM certificates to trust beside the public ones. */
  readonly ca?: readonly string[];
  /** Replaces the system's resolver. */
  readonly resolve?: Resolve;
  /** To one origin at once; 64 unless given. */
  readonly connections?: number;
};

const defaultTimeoutMs = 30_000;
const defaultRedirects = 5;
const redirectStatuses = [301, 302, 303, 307, 308];
/** Read past before a connection is used again; a longer body costs the connection. */
const maxDiscardedBytes = 65_536;
/** Who sends it slower keeps nobody waiting. */
const discardMs = 2_000;
const secretHeaders = ['authorization', 'proxy-authorization', 'cookie'];

export function createOutbound({ allow, hosts, clock, ca = [], ...rest }: OutboundOptions): Outbound {
  const { isAllowed = createAddressCheck(allow) } = rest;
  const dispatcher = createCheckedAgent({ ...rest, isAllowed, hosts, ca });
  const isChosen = (hostName: string) => hosts.has(hostName);
  return {
    call: async (call) => {
      requireNoSecrets(call.headers ?? {});
      const url = parseOutboundUrl(call.url, isChosen);
      const deadlines = new Deadlines(
        { headMs: call.timeoutMs ?? defaultTimeoutMs, totalMs: call.totalTimeoutMs, callerSignal: call.signal },
        clock,
      );
      try {
        return await follow({ call, url, dispatcher, isChosen, deadlines, clock });
      } catch (cause) {
        deadlines.end();
        throw deadlines.explain(cause);
      }
    },
    close: () => dispatcher.destroy(),
  };
}

type Exchange = {
  readonly call: OutboundRequest;
  readonly url: URL;
  readonly dispatcher: Dispatcher;
  readonly isChosen: (hostName: string) => boolean;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
};

async function follow(exchange: Exchange): Promise<OutboundResponse> {
  const { method = 'GET', maxRedirects = defaultRedirects } = exchange.call;
  const canFollow = maxRedirects > 0 && (method === 'GET' || method === 'HEAD');
  let url = exchange.url;
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const answer = await send(exchange, url);
    const { location } = answer.headers;
    const isRedirect = redirectStatuses.includes(answer.statusCode) && typeof location === 'string';
    if (!isRedirect || !canFollow) return respond(exchange, url, answer);
    await answer.body.dump({ limit: maxDiscardedBytes });
    url = parseRedirect(location, url, exchange.isChosen);
  }
  throw new OutboundError('blocked', 'too many redirects');
}

function send({ call, url: first, dispatcher, deadlines }: Exchange, url: URL): Promise<Dispatcher.ResponseData> {
  return request(url, {
    dispatcher,
    method: call.method ?? 'GET',
    headers: { 'user-agent': 'berth', ...call.headers, ...(url.origin === first.origin ? call.credentials : {}) },
    body: bodyOf(call.body),
    signal: deadlines.signal,
    // Ours runs over redirects too.
    headersTimeout: 0,
    bodyTimeout: call.idleTimeoutMs ?? defaultTimeoutMs,
    // The connection reads ahead already; a reader that stalls would hold another piece, and its copy beside the one before.
    highWaterMark: 0,
  });
}

function bodyOf(body: OutboundRequest['body']): string | Uint8Array | Readable | null {
  if (body === undefined) return null;
  return typeof body === 'string' || body instanceof Uint8Array ? body : Readable.from(body, { objectMode: false });
}

async function respond(
  { call, deadlines, clock }: Exchange,
  url: URL,
  answer: Dispatcher.ResponseData,
): Promise<OutboundResponse> {
  deadlines.headArrived();
  const discard = async () => {
    deadlines.end();
    await readPast(answer, clock);
  };
  const headers = headersOf(answer);
  if (call.method !== 'HEAD' && Number(headers.get('content-length') ?? 0) > call.maxBytes) {
    await discard();
    throw tooLarge();
  }
  return {
    status: answer.statusCode,
    headers,
    url: url.href,
    body: limited(answer.body, call.maxBytes, deadlines),
    discard,
  };
}

/** The connection is used again where the rest is short and comes in time; else it is closed. */
async function readPast({ body }: Dispatcher.ResponseData, clock: Clock): Promise<void> {
  const [read, late] = [new AbortController(), new AbortController()];
  clock.sleep(discardMs, read.signal).then(
    () => late.abort(),
    () => {
      // It came in time.
    },
  );
  await body.dump({ limit: maxDiscardedBytes, signal: late.signal }).catch(() => {
    // The connection is closed: nobody wants what it had.
  });
  read.abort();
}

async function* limited(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  deadlines: Deadlines,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  try {
    for await (const chunk of body) {
      total += chunk.byteLength;
      if (total > maxBytes) throw tooLarge();
      yield chunk;
    }
  } catch (cause) {
    throw deadlines.explain(cause);
  } finally {
    deadlines.end();
  }
}

function tooLarge(): OutboundError {
  return new OutboundError('tooLarge', 'the answer is larger than its limit');
}

function headersOf({ headers }: Dispatcher.ResponseData): ReadonlyMap<string, string> {
  const all = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) all.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  return all;
}

/** A mistake of the caller's, not of the call. */
function requireNoSecrets(headers: Headers): void {
  const found = Object.keys(headers).find((name) => secretHeaders.includes(name.toLowerCase()));
  if (found !== undefined) throw new TypeError(`${found} belongs into credentials`);
}
