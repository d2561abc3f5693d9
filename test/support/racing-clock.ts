import type { Clock } from '../../src/platform/clock.ts';

/** A clock whose monotonic time goes on by a second whenever it is asked for: whatever may go on for a while does one step. */
export function racingClock({ nowMicros, sleep }: Clock): Clock {
  let elapsedMs = 0;
  const monotonicMs = () => {
    elapsedMs += 1_000;
    return elapsedMs;
  };
  return { nowMicros, sleep, monotonicMs };
}
