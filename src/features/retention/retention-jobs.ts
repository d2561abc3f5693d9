import { ClockJumps } from '../../platform/clock-jumps.ts';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import type { Deletions } from '../content/deletions.ts';
import { expireDeleted } from './deleted-expiry.ts';
import { type CollectionParts, collectGarbage } from './garbage-collection.ts';
import { ownAuthority } from './own-authority.ts';
import { scrub } from './scrub.ts';
import { deleteUntagged } from './untagged-policy.ts';

/** A policy of 0 days deletes within seconds. */
const untaggedEveryMs = 5_000;
const expiryEveryMs = 600_000;
/** A run leaves its place to other jobs now and then. */
const scrubRunMs = 60_000;
const scrubPauseMs = 10_000;

export type RetentionJobParts = CollectionParts & {
  readonly change: AuthorizedChange;
  readonly deletions: Deletions;
  readonly journal: Journal;
  readonly region: string;
  readonly scrubBytesPerSecond: number;
  readonly scrubEveryMs: number;
  readonly collectEveryMs: number;
  /** After a jump of the clock nothing is removed for so long: what looks old then may be new. */
  readonly graceMs: number;
};

/** The background work by which content leaves. */
export function retentionJobs(parts: RetentionJobParts): JobKind[] {
  const jumps = new ClockJumps(parts.clock);
  return [
    {
      kind: 'retention.garbage',
      run: async (job) => {
        if (jumps.evenMs() >= parts.graceMs) await collectGarbage(parts, job);
        else parts.log.warn('no garbage is collected: the clock was moved', { forMs: parts.graceMs });
      },
      leaseMs: 60_000,
      maxAttempts: 5,
      everyMs: parts.collectEveryMs,
    },
    {
      kind: 'retention.untagged',
      run: async (job) => {
        if (jumps.evenMs() >= parts.graceMs)
          await deleteUntagged({ ...parts, authority: ownAuthority('retention policy') }, job);
        else parts.log.warn('no manifest is deleted for want of a tag: the clock was moved', { forMs: parts.graceMs });
      },
      leaseMs: 60_000,
      maxAttempts: 5,
      everyMs: untaggedEveryMs,
    },
    {
      kind: 'retention.deleted',
      run: async (job) => {
        if (jumps.evenMs() >= parts.graceMs)
          await expireDeleted({ ...parts, authority: ownAuthority('soft delete policy') }, job);
        else parts.log.warn('nothing deleted is dropped for good: the clock was moved', { forMs: parts.graceMs });
      },
      leaseMs: 60_000,
      maxAttempts: 5,
      everyMs: expiryEveryMs,
    },
    {
      kind: 'retention.scrub',
      run: async (job) => {
        const rate = { bytesPerSecond: parts.scrubBytesPerSecond, everyMs: parts.scrubEveryMs, runMs: scrubRunMs };
        await scrub({ ...parts, ...rate }, job);
      },
      leaseMs: 60_000,
      maxAttempts: 5,
      everyMs: scrubPauseMs,
    },
  ];
}
