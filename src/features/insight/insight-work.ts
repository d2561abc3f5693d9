import type { JobKind } from '../../platform/jobs/jobs.ts';
import { type CheckpointParts, Checkpoints } from './audit-checkpoints.ts';
import { AuditIndex, type AuditIndexParts } from './audit-index.ts';

/** What the audit needs done in the background. */
export type InsightWork = {
  readonly jobKinds: readonly JobKind[];
  /** Follows the journal until the signal is aborted. */
  readonly follow: (signal: AbortSignal) => Promise<void>;
};

export function insightWork(parts: AuditIndexParts & CheckpointParts): InsightWork {
  const index = new AuditIndex(parts);
  const checkpoints = new Checkpoints(parts);
  return { jobKinds: [index.jobKind(), checkpoints.jobKind()], follow: (signal) => index.follow(signal) };
}
