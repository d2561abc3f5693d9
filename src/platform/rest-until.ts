import type { Clock } from './clock.ts';

/** Waits until a moment of the monotonic clock, in milliseconds, or the end of the signal, at which whoever waits looks next. */
export async function restUntil(clock: Clock, atMs: number, signal: AbortSignal): Promise<void> {
  const restMs = atMs - clock.monotonicMs();
  if (restMs <= 0) return;
  await clock.sleep(restMs, signal).catch(() => {
    // Ended early.
  });
}
