import type { Clock } from '../../platform/clock.ts';
import type { Outbound, OutboundResponse } from '../../platform/outbound/outbound.ts';
import { OutboundError } from '../../platform/outbound/outbound-error.ts';
import { signatureHeaders } from './delivery-signature.ts';
import type { Outcome, Payload } from './delivery-store.ts';
import type { WebhookTarget } from './webhook.ts';

/** To the head of the answer; what comes of its body after that is looked at for as long at most. */
const answerTimeoutMs = 10_000;
const bodyTimeoutMs = 3_000;
/** Of an answer's body, in bytes; its headers are cut to the same length together. */
const keptBytes = 4_096;
const keptHeaders = 40;

export type AttemptParts = {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly clock: Clock;
};

export type AttemptResult = {
  readonly isDelivered: boolean;
  /** What the receiver asked for in its answer. */
  readonly retryAfterMs: number;
  readonly outcome: Outcome;
};

/**
 * Sends one request. Delivered is what was answered with 2xx; a redirect is not followed and does not count. Never throws
 * but when `signal` is aborted.
 */
export async function attempt(
  { outbound, clock }: AttemptParts,
  target: WebhookTarget,
  delivery: { readonly id: string; readonly payload: Payload },
  signal: AbortSignal,
): Promise<AttemptResult> {
  const { id, payload } = delivery;
  const { signingKey, customHeaders } = target;
  const own = {
    ...payload.headers,
    ...signatureHeaders({ id, atMicros: clock.nowMicros(), body: payload.body, signingKey }),
  };
  const hasType = Object.keys(customHeaders).some((name) => name.toLowerCase() === 'content-type');
  const headers = hasType ? own : { 'content-type': payload.contentType, ...own };
  const requestHeaders = { ...headers, ...Object.fromEntries(Object.keys(customHeaders).map((name) => [name, '***'])) };
  const cut = new AbortController();
  const request = { requestUri: shownUri(target.serviceUri), requestHeaders };
  try {
    const answer = await outbound.call({
      url: target.serviceUri,
      method: 'POST',
      headers,
      // They hold the receiver's secrets.
      credentials: customHeaders,
      body: payload.body,
      // Only the beginning is read, however long it says it is.
      maxBytes: Number.MAX_SAFE_INTEGER,
      timeoutMs: answerTimeoutMs,
      totalTimeoutMs: answerTimeoutMs + bodyTimeoutMs,
      maxRedirects: 0,
      signal: AbortSignal.any([signal, cut.signal]),
    });
    const answered = { ...request, status: answer.status, responseHeaders: shownHeaders(answer.headers) };
    const isDelivered = answer.status >= 200 && answer.status < 300;
    const fault = isDelivered ? {} : { fault: `the receiver answered ${answer.status}` };
    return {
      isDelivered,
      retryAfterMs: retryAfterOf(answer.headers),
      outcome: { ...answered, responseBody: await cutAfter(clock, cut, beginningOf(answer)), ...fault },
    };
  } catch (error) {
    signal.throwIfAborted();
    return { isDelivered: false, retryAfterMs: 0, outcome: { ...request, fault: faultOf(error) } };
  }
}

/** Ends a body that comes too slowly. */
async function cutAfter(clock: Clock, cut: AbortController, body: Promise<string>): Promise<string> {
  const read = new AbortController();
  clock.sleep(bodyTimeoutMs, read.signal).then(
    () => cut.abort(),
    () => {
      // It came in time.
    },
  );
  return await body.finally(() => read.abort());
}

/** The beginning of a body, as far as it comes in time. */
async function beginningOf(answer: OutboundResponse): Promise<string> {
  const pieces: Uint8Array[] = [];
  let total = 0;
  try {
    for await (const piece of answer.body) {
      pieces.push(piece.subarray(0, keptBytes - total));
      total += piece.byteLength;
      if (total >= keptBytes) break;
    }
  } catch {
    // The head said how it went; the rest of the body is of no use.
  }
  // The database's text knows no NUL.
  return Buffer.concat(pieces).toString('utf8').replaceAll('\u0000', '\ufffd');
}

function shownHeaders(headers: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries(
    [...headers]
      .filter(([name]) => name !== 'set-cookie')
      .slice(0, keptHeaders)
      .map(([name, value]) => [name, value.slice(0, 200)]),
  );
}

/** The query of an address is where people put keys. */
function shownUri(uri: string): string {
  const url = URL.parse(uri);
  if (url === null) return '';
  return url.search === '' ? url.href : `${url.origin}${url.pathname}?***`;
}

function retryAfterOf(headers: ReadonlyMap<string, string>): number {
  const seconds = headers.get('retry-after') ?? '';
  return /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1_000 : 0;
}

function faultOf(error: unknown): string {
  if (!(error instanceof OutboundError)) return 'the request could not be sent';
  const cause = error.cause instanceof Error && 'code' in error.cause ? ` (${String(error.cause.code)})` : '';
  return `${error.message}${cause}`;
}
