import type { Clock } from '../../platform/clock.ts';

/** Items as they come, and undefined whenever none came for so long. */
export async function* withPauses<T extends object>(
  items: AsyncIterable<T>,
  clock: Clock,
  pauseMs: number,
): AsyncGenerator<T | undefined> {
  const source = items[Symbol.asyncIterator]();
  try {
    while (true) {
      const coming = source.next();
      let next = await sooner(coming, clock, pauseMs);
      for (; next === undefined; next = await sooner(coming, clock, pauseMs)) yield undefined;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await source.return?.();
  }
}

async function sooner<T>(coming: Promise<T>, clock: Clock, ms: number): Promise<T | undefined> {
  const came = new AbortController();
  const pause = clock.sleep(ms, came.signal).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([coming, pause]);
  } finally {
    came.abort();
  }
}
