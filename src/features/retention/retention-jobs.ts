import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import type { Deletions } from '../content/deletions.ts';
import { expireDeleted } from './deleted-expiry.ts';
import { type CollectionParts, collectGarbage } from './garbage-collection.ts';
import type { Lifecycles } from './lifecycles.ts';
import { ownAuthority } from './own-authority.ts';
import type { RemovalGuard } from './removal-guard.ts';
import { scrub } from './scrub.ts';
import { deleteUntagged } from './untagged-policy.ts';

/** A policy of 0 days deletes within seconds. */
const untaggedEveryMs = 5_000;
const expiryEveryMs = 600_000;
/** Who asks for a run of lifecycle rules waits no longer than this for its beginning. */
const lifecycleEveryMs = 2_000;
/** One deletion may take along what 100,000 others refer to, and one look read as many: longer than the leases of the rest. */
const lifecycleLeaseMs = 300_000;
/** A run leaves its place to other jobs now and then. */
const scrubRunMs = 60_000;
const scrubPauseMs = 10_000;

export type RetentionJobParts = CollectionParts & {
  readonly change: AuthorizedChange;
  readonly deletions: Deletions;
  readonly journal: Journal;
  readonly removalGuard: RemovalGuard;
  readonly lifecycles: Lifecycles;
  readonly region: string;
  readonly scrubBytesPerSecond: number;
  readonly scrubEveryMs: number;
  readonly collectEveryMs: number;
};

/** The background work by which content leaves. */
export function retentionJobs(parts: RetentionJobParts): JobKind[] {
  const common = { leaseMs: 30_000, maxAttempts: 5 };
  /** Waits for its next turn while the time is in doubt. */
  const removing = (
    kind: string,
    work: (job: JobRun) => Promise<unknown>,
    everyMs: number,
    more = common,
  ): JobKind => ({
    ...more,
    kind,
    everyMs,
    run: async (job) => {
      const hindrance = await parts.removalGuard.hindrance();
      if (hindrance === undefined) await work(job);
      else parts.log.warn('nothing is removed', { job: kind, because: hindrance });
    },
  });
  const untagged = { ...parts, authority: ownAuthority('retention policy') };
  const expiry = { ...parts, authority: ownAuthority('soft delete policy') };
  const rate = { bytesPerSecond: parts.scrubBytesPerSecond, everyMs: parts.scrubEveryMs, runMs: scrubRunMs };
  return [
    removing('retention.garbage', (job) => collectGarbage(parts, job), parts.collectEveryMs),
    removing('retention.untagged', (job) => deleteUntagged(untagged, job), untaggedEveryMs),
    removing('retention.lifecycle', (job) => parts.lifecycles.work(job), lifecycleEveryMs, {
      ...common,
      leaseMs: lifecycleLeaseMs,
    }),
    removing('retention.deleted', (job) => expireDeleted(expiry, job), expiryEveryMs),
    {
      ...common,
      kind: 'retention.scrub',
      run: async (job) => {
        await scrub({ ...parts, ...rate }, job);
      },
      everyMs: scrubPauseMs,
    },
  ];
}
