import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import { forgetBuckets } from './bucket-store.ts';

const hourMs = 3_600_000;

/** Forgets the buckets of those who have not asked for an hour: identities come and go. */
export function throttlingJob({ database, clock }: { readonly database: Database; readonly clock: Clock }): JobKind {
  return {
    kind: 'throttling.buckets.forget',
    run: () => forgetBuckets(database, clock.nowMicros() - hourMs * 1_000),
    leaseMs: 60_000,
    maxAttempts: 5,
    everyMs: hourMs,
  };
}
