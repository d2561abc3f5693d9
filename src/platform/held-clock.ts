import type { Clock } from './clock.ts';

/** A clock that stands still until `advance` moves it; sleeps end when it passes their time. For tests. */
export class HeldClock implements Clock {
  readonly #sleeps = new Set<{ readonly untilMs: number; readonly wake: () => void }>();
  #micros: number;
  #elapsedMs = 0;

  constructor(startMicros = Date.UTC(2030, 0, 1) * 1000) {
    this.#micros = startMicros;
  }

  readonly nowMicros = (): number => this.#micros;
  readonly monotonicMs = (): number => this.#elapsedMs;

  readonly sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry = { untilMs: this.#elapsedMs + ms, wake: resolve };
    const abort = () => reject(signal?.reason);
    this.#sleeps.add(entry);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      this.#sleeps.delete(entry);
      signal?.removeEventListener('abort', abort);
    }
  };

  /** Moves wall and monotonic time forward together. */
  advance(ms: number): void {
    this.#micros += ms * 1000;
    this.#elapsedMs += ms;
    for (const entry of this.#sleeps) if (entry.untilMs <= this.#elapsedMs) entry.wake();
  }

  /** Changes wall time alone, as an operator or NTP does. */
  setWall(micros: number): void {
    this.#micros = micros;
  }
}
