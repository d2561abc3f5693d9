import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import type { Authority } from '../access/authority.ts';
import type { Deletions } from '../content/deletions.ts';
import { isGeneral } from './general-faults.ts';

export type UntaggedPolicyParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly deletions: Deletions;
  /** Of the policy itself. */
  readonly authority: Authority;
};

const slice = 100;
const mostKept = 10;
const dayMicros = 86_400_000_000;
/** A locked manifest is looked at again after so long: the lock may be off by then. */
const lockedMicros = 3_600_000_000;

type Mark = {
  readonly registryUid: string;
  readonly repositoryUid: string;
  readonly repository: string;
  readonly digest: string;
  readonly since: number;
};

/**
 * Deletes manifests that have been without a tag for as long as their registry's policy says, counted from when they lost it
 * under the policy. One that has a tag again, or is part of an index, stays; it is marked anew when that changes. Of every
 * media type, where ACR takes Docker's alone. Source: ACR semantics, 8.1.
 */
export async function deleteUntagged(
  parts: UntaggedPolicyParts,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<number> {
  const nowMicros = parts.clock.nowMicros();
  const count: Count = { deleted: 0 };
  const problems = new Problems();
  // Neither a registry that fails holds others up, nor a manifest.
  for (const uid of await withPolicy(parts.database.read))
    await deleteUntaggedOf(parts, uid, { job, nowMicros, count, problems }).catch((error: unknown) =>
      problems.note(error),
    );
  if (count.deleted > 0) parts.log.info('manifests without a tag deleted', { count: count.deleted });
  problems.throwIfAny();
  return count.deleted;
}

/** The first of them, and how many there were: where every manifest fails, memory does not grow with them. */
class Problems {
  readonly #first: unknown[] = [];
  #count = 0;

  note(problem: unknown): void {
    this.#count += 1;
    if (this.#first.length < mostKept) this.#first.push(problem);
  }

  /** Throws AggregateError. */
  throwIfAny(): void {
    if (this.#count === 0) return;
    const message = `the policy for manifests without a tag failed ${this.#count} ${this.#count === 1 ? 'time' : 'times'}`;
    throw new AggregateError(this.#first, message, { cause: this.#first[0] });
  }
}

type Count = { deleted: number };

type Turn = {
  readonly job: Pick<JobRun, 'signal' | 'renew'>;
  readonly nowMicros: number;
  readonly count: Count;
  /** What was thrown for single manifests; the next run tries those again. */
  readonly problems: Problems;
};

/** Of one registry. */
async function deleteUntaggedOf(
  parts: UntaggedPolicyParts,
  registryUid: string,
  { job, nowMicros, count, problems }: Turn,
): Promise<void> {
  let after: Mark | undefined;
  while (!job.signal.aborted) {
    // Read again for each slice: who lengthens the policy in the middle of a long run means it.
    const before = await dueBefore(parts.database.read, registryUid, nowMicros);
    const marks = before === undefined ? [] : await dueMarks(parts.database.read, { registryUid, before, after });
    for (const mark of marks)
      try {
        if (await settle(parts, mark, nowMicros)) count.deleted += 1;
      } catch (error) {
        if (isGeneral(error)) throw error;
        problems.note(error);
      }
    if (marks.length < slice) return;
    after = marks.at(-1);
    await job.renew();
  }
}

async function withPolicy(queries: Queries): Promise<readonly string[]> {
  const rows = await queries.selectFrom('registries').where('retention_days', 'is not', null).select('uid').execute();
  return rows.map((row) => row.uid);
}

/** Undefined when there is no policy any more. */
async function dueBefore(queries: Queries, registryUid: string, nowMicros: number): Promise<number | undefined> {
  const row = await queries
    .selectFrom('registries')
    .where('uid', '=', registryUid)
    .where('is_deleting', '=', 0)
    .select('retention_days as days')
    .executeTakeFirst();
  return row === undefined || row.days === null ? undefined : nowMicros - row.days * dayMicros;
}

type Due = {
  readonly registryUid: string;
  readonly before: number;
  /** The last that was tried: those that failed are not met again in the same run. */
  readonly after: Mark | undefined;
};

async function dueMarks(queries: Queries, { registryUid, before, after }: Due): Promise<readonly Mark[]> {
  let query = queries
    .selectFrom('untagged_manifests as u')
    .innerJoin('repositories as r', 'r.uid', 'u.repository_uid')
    .where('u.registry_uid', '=', registryUid)
    .where('u.since', '<=', before);
  if (after !== undefined)
    query = query.where((at) =>
      at(
        at.refTuple('u.since', 'u.repository_uid', 'u.digest'),
        '>',
        at.tuple(after.since, after.repositoryUid, after.digest),
      ),
    );
  const rows = await query
    .orderBy('u.since')
    .orderBy('u.repository_uid')
    .orderBy('u.digest')
    .limit(slice)
    .select(['u.repository_uid as repositoryUid', 'r.name as repository', 'u.digest', 'u.since'])
    .execute();
  return rows.map((row) => ({ ...row, registryUid }));
}

/** Whether it was deleted. Either way it is not due any more, or the policy has changed and the next look says. */
async function settle(parts: UntaggedPolicyParts, mark: Mark, nowMicros: number): Promise<boolean> {
  const { registryUid, since } = mark;
  const place = { registryUid, repository: parseRepositoryName(mark.repository) };
  const seen = { digest: parseDigest(mark.digest), markedSince: since };
  try {
    const { outcome, problem } = await parts.deletions.untaggedManifest(place, parts.authority, seen);
    if (problem !== undefined) throw problem;
    if (outcome === 'stays') await forget(parts.database, mark);
    return outcome === 'deleted';
  } catch (error) {
    if (!(error instanceof BerthError && error.error === 'contentLocked')) throw error;
    const before = await dueBefore(parts.database.read, registryUid, nowMicros);
    if (before !== undefined) await postpone(parts.database, mark, before + lockedMicros);
    return false;
  }
}

/** Unless it was marked anew meanwhile. */
async function forget(database: Database, mark: Mark): Promise<void> {
  await database.transaction(async (tx) => {
    await tx
      .deleteFrom('untagged_manifests')
      .where('repository_uid', '=', mark.repositoryUid)
      .where('digest', '=', mark.digest)
      .where('since', '=', mark.since)
      .execute();
  });
}

async function postpone(database: Database, mark: Mark, since: number): Promise<void> {
  await database.transaction(async (tx) => {
    await tx
      .updateTable('untagged_manifests')
      .set({ since })
      .where('repository_uid', '=', mark.repositoryUid)
      .where('digest', '=', mark.digest)
      .where('since', '=', mark.since)
      .execute();
  });
}
