const firstDelayMs = 1_000;
const growth = 4;
const longestDelayMs = 2 * 3_600_000;
const hourMicros = 3_600 * 1_000_000;
/** So long an event is sent again and again, whatever its receiver answers. */
const retryForMicros = 24 * hourMicros;
/** What waited so long behind others has a time of its own, so that a receiver that is away for a moment loses none of it. */
const oldRetryForMicros = hourMicros;
/** So late nothing is waited for any more: what a receiver always refuses must not keep it ever further behind. */
const latestMicros = 48 * hourMicros;

/**
 * How long to wait after so many failed attempts in a row: 1 s, 4 s, 16 s, ... to two hours, a fifth more or less so that
 * receivers are not asked in one beat. `share` is from 0 to 1. A receiver's own Retry-After counts when it is longer.
 */
export function retryDelayMs(failures: number, share: number, retryAfterMs = 0): number {
  const delayMs = Math.min(firstDelayMs * growth ** Math.min(failures - 1, 20), longestDelayMs);
  const spread = delayMs * (0.8 + 0.4 * share);
  return Math.round(Math.max(spread, Math.min(retryAfterMs, longestDelayMs)));
}

/** Whether an event that was not taken becomes a dead letter; `failingSinceMicros` is when its receiver began to take nothing. */
export function isGivenUp(
  { occurredAtMicros, failingSinceMicros }: { readonly occurredAtMicros: number; readonly failingSinceMicros: number },
  nowMicros: number,
): boolean {
  const ageMicros = nowMicros - occurredAtMicros;
  if (ageMicros <= retryForMicros) return false;
  return ageMicros > latestMicros || nowMicros - failingSinceMicros > oldRetryForMicros;
}
