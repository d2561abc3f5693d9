const firstDelayMs = 1_000;
const growth = 4;
const longestDelayMs = 2 * 3_600_000;
/** How long a receiver that takes nothing is asked again: then what is as old is a dead letter. */
export const retryForMicros = 24 * 3_600 * 1_000_000;

/**
 * How long to wait after so many failed attempts in a row: 1 s, 4 s, 16 s, ... to two hours, a fifth more or less so that
 * receivers are not asked in one beat. `share` is from 0 to 1. A receiver's own Retry-After counts when it is longer.
 */
export function retryDelayMs(failures: number, share: number, retryAfterMs = 0): number {
  const delayMs = Math.min(firstDelayMs * growth ** Math.min(failures - 1, 20), longestDelayMs);
  const spread = delayMs * (0.8 + 0.4 * share);
  return Math.round(Math.max(spread, Math.min(retryAfterMs, longestDelayMs)));
}
