import { ClockJumps } from '../../platform/clock-jumps.ts';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import { type CollectionParts, collectGarbage } from './garbage-collection.ts';

export type RetentionJobParts = CollectionParts & {
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
  ];
}
