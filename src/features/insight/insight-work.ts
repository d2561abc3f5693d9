import { once } from 'node:events';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import { lookAtAnchors, tellStrays } from './anchors.ts';
import { type CheckpointParts, Checkpoints } from './audit-checkpoints.ts';
import { AuditIndex, type AuditIndexParts } from './audit-index.ts';
import { thinCheckpointsJob } from './checkpoint-thinning.ts';
import { metricJobs } from './metric-jobs.ts';

export type InsightParts = AuditIndexParts & CheckpointParts;

/** What audit and metrics need done in the background. */
export type InsightWork = {
  readonly jobKinds: readonly JobKind[];
  /** Follows the journal until the signal is aborted. */
  readonly follow: (signal: AbortSignal) => Promise<void>;
};

export function insightWork(parts: InsightParts): InsightWork {
  const index = new AuditIndex(parts);
  const checkpoints = new Checkpoints(parts);
  return {
    jobKinds: [index.jobKind(), checkpoints.jobKind(), thinCheckpointsJob(parts), ...metricJobs(parts)],
    follow: async (signal) => {
      await Promise.all([index.follow(signal), Promise.race([lookAtStart(parts), once(signal, 'abort')])]);
    },
  };
}

/** Whoever starts a server on a database that was cut meanwhile is told at once, not only when checkpoints are due. */
async function lookAtStart(parts: InsightParts): Promise<void> {
  try {
    tellStrays(parts.log, await lookAtAnchors(parts));
  } catch (error) {
    parts.log.warn('what the blob store was told of the checkpoints could not be read; it is tried again', { error });
  }
}
