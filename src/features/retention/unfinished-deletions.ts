import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import type { Authority } from '../access/authority.ts';
import type { Deletions } from '../content/deletions.ts';
import {
  forgetLeftReferrers,
  idleLeftReferrers,
  type LeftReferrers,
  putOffLeftReferrers,
} from '../content/left-referrers.ts';
import { ownAuthority } from './own-authority.ts';

export type UnfinishedDeletionsParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly deletions: Deletions;
  /** Of the work itself. */
  readonly authority: Authority;
};

/** Whoever began a deletion goes on with it at once: after so long without a step it was cut off. */
const idleMicros = 60_000_000;
const slice = 100;

export function unfinishedDeletionsJob(parts: Omit<UnfinishedDeletionsParts, 'authority'>): JobKind {
  // Whoever asked for the deletion had the right.
  const authority = ownAuthority('unfinished deletion');
  return {
    kind: 'retention.unfinished',
    run: async (job) => await finishDeletions({ ...parts, authority }, job),
    leaseMs: 60_000,
    maxAttempts: 5,
    everyMs: 60_000,
  };
}

/**
 * Goes on with deletions of manifests whose process ended, or failed, before what refers to the manifest was gone too. One that
 * fails holds no other up, and is tried again when it was idle once more.
 */
export async function finishDeletions(
  parts: UnfinishedDeletionsParts,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  const { database, clock, log } = parts;
  const unfinished = await idleLeftReferrers(database.read, clock.nowMicros() - idleMicros, slice);
  const problems: unknown[] = [];
  for (const left of unfinished) {
    if (job.signal.aborted) return;
    try {
      await finish(parts, left);
    } catch (error) {
      problems.push(error);
      const nowMicros = clock.nowMicros();
      await database.transaction(async (tx) => await putOffLeftReferrers(tx, left, nowMicros));
    }
    await job.renew();
  }
  const count = unfinished.length - problems.length;
  if (count > 0) log.info('deletions that were cut off are finished', { count });
  if (problems.length > 0)
    throw new AggregateError(problems, 'deletions that were cut off could not be finished', { cause: problems[0] });
}

async function finish({ database, deletions, authority }: UnfinishedDeletionsParts, left: LeftReferrers) {
  try {
    await deletions.moreReferrers(left.place, authority, left.root);
  } catch (error) {
    if (!(error instanceof BerthError && error.error === 'registryUnknown')) throw error;
    await database.transaction(async (tx) => await forgetLeftReferrers(tx, left));
  }
}
