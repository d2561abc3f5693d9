import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { RequestClass, ThrottleLimit } from '../../core/throttle-limits.ts';
import type { Principal } from '../../features/identity/principal.ts';
import type { Admission, Throttle } from '../../features/throttling/throttle.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Env } from './env.ts';

export type ThrottleRequestsParts = { readonly throttle: Throttle; readonly accessLog: AccessLog };

/**
 * Counts a request that is about to be served and puts on the answer what is left. Nothing to wait for, undefined, unless the
 * database has to be asked. Without a principal the registry alone counts. Throws `tooManyRequests`, at once or later.
 */
export type ThrottleRequest = (
  c: Context<Env>,
  requestClass: RequestClass | undefined,
  principal?: Principal,
) => Promise<void> | undefined;

export function throttleRequests(parts: ThrottleRequestsParts): ThrottleRequest {
  return (c, requestClass, principal) => {
    if (requestClass === undefined) return undefined;
    const { registry, address } = c.get('call');
    const admission = parts.throttle.admit({ registry, principal, address }, requestClass);
    if (admission instanceof Promise) return admission.then((later) => answer(parts, c, principal, later));
    return admission && answer(parts, c, principal, admission);
  };
}

/** Notes who was let in, and counts the request unless it was counted before: some ask for several repositories. */
export async function countOnce(
  throttle: ThrottleRequest | undefined,
  c: Context<Env>,
  requestClass: RequestClass | undefined,
  principal: Principal,
): Promise<void> {
  if (c.get('principal') !== undefined) return;
  c.set('principal', principal);
  await throttle?.(c, requestClass, principal);
}

function answer(
  parts: ThrottleRequestsParts,
  c: Context<Env>,
  principal: Principal | undefined,
  admission: Admission,
): undefined {
  const { limit } = admission;
  setRemaining(c, limit, admission.isAdmitted ? admission.remaining : 0);
  if (admission.isAdmitted) return;
  recordRefusal(parts.accessLog, c, principal, limit);
  const { bucket, of, perMinute } = limit;
  const retryAfterSeconds = Math.max(1, wholeSeconds(admission.retryAfterMs));
  throw new BerthError('tooManyRequests', { requests: bucket, of, perMinute }, { retryAfterSeconds });
}

/** Rounded up from whole microseconds: what a sum of floating-point times has beyond them is no time. */
function wholeSeconds(ms: number): number {
  return Math.ceil(Math.round(ms * 1_000) / 1_000_000);
}

/** As ACR says it, and as Docker Hub does. Source: ACR semantics, "Request rate limits". */
function setRemaining(c: Context<Env>, { perMinute }: ThrottleLimit, remaining: number): void {
  setHeader(c, 'X-Ms-Ratelimit-Remaining-Calls-Per-Second', String(Number((remaining / 60).toFixed(6))));
  setHeader(c, 'RateLimit-Limit', `${perMinute};w=60`);
  setHeader(c, 'RateLimit-Remaining', `${remaining};w=60`);
}

/** On Node's response where there is one: answers are written past Hono too. */
function setHeader(c: Context<Env>, name: string, value: string): void {
  const outgoing = c.env?.outgoing;
  if (outgoing) outgoing.setHeader(name, value);
  else c.header(name, value);
}

function recordRefusal(
  accessLog: AccessLog,
  c: Context<Env>,
  principal: Principal | undefined,
  { bucket, of, perMinute }: ThrottleLimit,
): void {
  const { registry, address, correlationId, userAgent } = c.get('call');
  accessLog.record({
    kind: 'denial',
    registryUid: registry.uid,
    identity: principal?.uid ?? 'unknown',
    ...(principal && { principalKind: principal.kind }),
    address,
    correlationId,
    status: 429,
    reason: `throttled: ${perMinute} ${bucket} requests a minute of the ${of} are spent`,
    ...(userAgent === undefined ? {} : { userAgent }),
  });
}
