import type { StorageKey } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';

const trustedMs = 60_000;
const mostKept = 10_000;

/**
 * Stored copies that were read in full a moment ago and had the bytes of their digest. Builds push the same layers many times
 * a minute: reading the copy again for each of them would find only what broke since, which the next pull finds as well.
 */
export class ComparedCopies {
  readonly #clock: Clock;
  /** In the order of the reading. */
  readonly #readAtMs = new Map<StorageKey, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wasRead(key: StorageKey): void {
    this.#readAtMs.delete(key);
    this.#readAtMs.set(key, this.#clock.monotonicMs());
    const [oldest] = this.#readAtMs.keys();
    if (this.#readAtMs.size > mostKept && oldest !== undefined) this.#readAtMs.delete(oldest);
  }

  has(key: StorageKey): boolean {
    const readAt = this.#readAtMs.get(key);
    if (readAt === undefined) return false;
    const age = this.#clock.monotonicMs() - readAt;
    if (age < trustedMs) return true;
    this.#readAtMs.delete(key);
    return false;
  }
}
