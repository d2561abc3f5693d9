import {
  type Bucket,
  type BucketRule,
  drawFrom,
  fullBucket,
  giveBackTo,
  wholeRequests,
} from '../../core/token-bucket.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Buckets, Taking } from './buckets.ts';
import { RecentBuckets } from './recent-buckets.ts';

/** The buckets of an installation that is one process: in memory alone, full again after a start. */
export class OwnBuckets implements Buckets {
  readonly #clock: Clock;
  readonly #buckets = new RecentBuckets<Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly take = (key: string, rule: BucketRule): Taking => {
    const nowMicros = this.#clock.monotonicMs() * 1_000;
    const known = this.#buckets.get(key) ?? fullBucket(rule, nowMicros);
    const { bucket, drawn } = drawFrom(known, rule, nowMicros, 1);
    this.#buckets.set(key, bucket);
    if (drawn > 0) return { isTaken: true, remaining: wholeRequests(bucket) };
    return { isTaken: false, retryAfterMs: (bucket.closedUntilMicros - nowMicros) / 1_000 };
  };

  readonly giveBack = (key: string, rule: BucketRule): void => {
    const bucket = this.#buckets.get(key);
    if (bucket !== undefined) this.#buckets.set(key, giveBackTo(bucket, rule, 1));
  };

  /** `take` always says at once. */
  readonly fetch = async (): Promise<void> => {};
}
