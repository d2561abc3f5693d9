import type { BucketRule } from '../../core/token-bucket.ts';

/** What is left after a request, or how long until one is let through. */
export type Taking =
  | { readonly isTaken: true; readonly remaining: number }
  | { readonly isTaken: false; readonly retryAfterMs: number };

/** Token buckets by key. One that is not known is full. */
export type Buckets = {
  /** Takes one request without waiting; undefined where it cannot say before `fetch` has resolved. */
  readonly take: (key: string, rule: BucketRule) => Taking | undefined;
  /** Puts back what `take` took for a request that another bucket refused. */
  readonly giveBack: (key: string, rule: BucketRule) => void;
  /** Resolves when `take` may be asked again. Throws what the database throws. */
  readonly fetch: (key: string, rule: BucketRule) => Promise<void>;
};
