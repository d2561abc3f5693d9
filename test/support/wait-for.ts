import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks `condition` every 50 ms, or as often as said, until it returns something other than `undefined` or `false`, and returns that.
 * Errors thrown by `condition` count as "not yet"; the last one is the cause of the error thrown after `timeoutMs`, which is
 * thrown only when an answer that began after that time was "not yet" too: a machine that stood still has not waited.
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  everyMs = 50,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let cause: unknown;
  let isLast = false;
  while (!isLast) {
    isLast = performance.now() >= end;
    try {
      const answer = await condition();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      cause = error;
    }
    if (!isLast) await sleep(everyMs);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause });
}
