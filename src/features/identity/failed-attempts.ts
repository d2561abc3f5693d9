import type { Clock } from '../../platform/clock.ts';

const windowMs = 60_000;
const maxKeys = 20_000;

/**
 * Counts failed attempts per key over the last minute, in this process. The oldest keys are forgotten when there are
 * too many. An attempt counts as failed from its beginning, so that many at once cannot slip through; one that succeeds
 * is withdrawn.
 */
export class FailedAttempts {
  readonly #clock: Clock;
  readonly #maxFailures: number;
  /** Monotonic times in milliseconds, oldest first. */
  readonly #times = new Map<string, readonly number[]>();

  constructor(clock: Clock, maxFailures = 10) {
    this.#clock = clock;
    this.#maxFailures = maxFailures;
  }

  /** Seconds until the next attempt is heard; 0 when it is heard now. */
  waitSeconds(key: string): number {
    const times = this.#recent(key);
    const oldest = times.at(-this.#maxFailures);
    return oldest === undefined ? 0 : Math.ceil((oldest + windowMs - this.#clock.monotonicMs()) / 1000);
  }

  /** Returns how to withdraw the attempt. */
  count(key: string): () => void {
    const time = this.#clock.monotonicMs();
    this.#put(key, [...this.#recent(key), time]);
    return () => {
      const times = this.#recent(key);
      const index = times.indexOf(time);
      if (index >= 0) this.#put(key, times.toSpliced(index, 1));
    };
  }

  #recent(key: string): readonly number[] {
    const since = this.#clock.monotonicMs() - windowMs;
    return (this.#times.get(key) ?? []).filter((time) => time > since);
  }

  #put(key: string, times: readonly number[]): void {
    this.#times.delete(key);
    if (times.length === 0) return;
    this.#times.set(key, times);
    const oldest = this.#times.size > maxKeys ? this.#times.keys().next().value : undefined;
    if (oldest !== undefined) this.#times.delete(oldest);
  }
}
