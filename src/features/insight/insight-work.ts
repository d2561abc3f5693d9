import type { JobKind } from '../../platform/jobs/jobs.ts';
import { type CheckpointParts, Checkpoints } from './audit-checkpoints.ts';
import { AuditIndex, type AuditIndexParts } from './audit-index.ts';
import { thinCheckpointsJob } from './checkpoint-thinning.ts';
import { metricJobs } from './metric-jobs.ts';

/** What audit and metrics need done in the background. */
export type InsightWork = {
  readonly jobKinds: readonly JobKind[];
  /** Follows the journal until the signal is aborted. */
  readonly follow: (signal: AbortSignal) => Promise<void>;
};

export function insightWork(parts: AuditIndexParts & CheckpointParts): InsightWork {
  const index = new AuditIndex(parts);
  const checkpoints = new Checkpoints(parts);
  return {
    jobKinds: [index.jobKind(), checkpoints.jobKind(), thinCheckpointsJob(parts), ...metricJobs(parts)],
    follow: (signal) => index.follow(signal),
  };
}
