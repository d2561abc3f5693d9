import type { BucketRule } from '../../core/token-bucket.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { drawFromStored } from './bucket-store.ts';
import type { Buckets, Taking } from './buckets.ts';
import { RecentBuckets } from './recent-buckets.ts';

/**
 * Part of a bucket that a process takes at once. What processes hold unused is what they can be wrong by together: a dozen of
 * them, 5 % of a large bucket.
 */
const slicesPerBucket = 256;
/** Of a small bucket a slice is at least so many requests, or nearly each would be written, but no larger than a 50th. */
const smallSlice = { requests: 4, perBucket: 50 } as const;

export type LeasedBucketsParts = { readonly database: Database; readonly clock: Clock };

/** Requests that this process may let through by itself, and what it knows of the rest. */
type Slice = {
  left: number;
  /** In the database when the slice was taken. */
  behind: number;
  /** The bucket refuses until then, by the monotonic clock. */
  closedUntilMs: number;
  fetching: Promise<void> | undefined;
};

/** The buckets of an installation of several processes: each takes slices of them from the database, and writes for those alone. */
export class LeasedBuckets implements Buckets {
  readonly #parts: LeasedBucketsParts;
  readonly #slices = new RecentBuckets<Slice>();

  constructor(parts: LeasedBucketsParts) {
    this.#parts = parts;
  }

  readonly take = (key: string): Taking | undefined => {
    const slice = this.#slices.get(key);
    if (slice === undefined) return undefined;
    if (slice.left > 0) {
      slice.left -= 1;
      return { isTaken: true, remaining: slice.left + slice.behind };
    }
    const retryAfterMs = slice.closedUntilMs - this.#parts.clock.monotonicMs();
    return retryAfterMs > 0 ? { isTaken: false, retryAfterMs } : undefined;
  };

  readonly giveBack = (key: string): void => {
    const slice = this.#slices.get(key);
    if (slice !== undefined) slice.left += 1;
  };

  /** Requests that wait for the same bucket share one look into the database. */
  readonly fetch = async (key: string, rule: BucketRule): Promise<void> => {
    const slice = this.#sliceOf(key);
    slice.fetching ??= this.#fill(slice, key, rule).finally(() => {
      slice.fetching = undefined;
    });
    await slice.fetching;
  };

  async #fill(slice: Slice, key: string, rule: BucketRule): Promise<void> {
    const { clock, database } = this.#parts;
    const nowMicros = clock.nowMicros();
    const askedMs = clock.monotonicMs();
    const wanted = sliceSize(rule);
    const { drawn, remaining, closedUntilMicros } = await drawFromStored(database, { key, rule, nowMicros, wanted });
    slice.left += drawn;
    slice.behind = remaining;
    slice.closedUntilMs = closedUntilMicros === 0 ? 0 : askedMs + (closedUntilMicros - nowMicros) / 1_000;
  }

  #sliceOf(key: string): Slice {
    const slice = this.#slices.get(key) ?? { left: 0, behind: 0, closedUntilMs: 0, fetching: undefined };
    this.#slices.set(key, slice);
    return slice;
  }
}

function sliceSize({ perMinute }: BucketRule): number {
  const small = Math.min(smallSlice.requests, Math.floor(perMinute / smallSlice.perBucket));
  return Math.max(1, small, Math.floor(perMinute / slicesPerBucket));
}
