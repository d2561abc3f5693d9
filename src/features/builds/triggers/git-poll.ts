import type { JobKind } from '../../../platform/jobs/jobs.ts';
import type { Outbound } from '../../../platform/outbound/outbound.ts';
import { findByUid } from '../../resources/resource-store.ts';
import { storedTaskOf } from '../tasks/task.ts';
import { listDueSources, noteLook, type TaskSource } from '../tasks/task-sources.ts';
import { RemoteError, type RemoteHeads, readHeads } from './git-remote.ts';
import { type GitSources, type GitSourcesParts, isDefaultWanted, wantedBranch } from './git-sources.ts';

export type GitPollParts = GitSourcesParts & {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly gitSources: Pick<GitSources, 'happened'>;
  /** Between two looks at a repository whose host does not call. */
  readonly gitPollMs: number;
};

const lookEveryMs = 5_000;
const page = 32;
/** A repository whose host calls is looked at too, as calls are lost. */
const rarely = 12;

/** Looks at the repositories that start tasks. */
export function gitPollJob(parts: GitPollParts): JobKind {
  return {
    kind: 'builds.git',
    run: async ({ signal, renew }) => {
      signal.throwIfAborted();
      await lookAtRepositories(parts);
      await renew();
    },
    leaseMs: 120_000,
    maxAttempts: 3,
    everyMs: lookEveryMs,
  };
}

/** Those whose time it is, some of them at once. The first look at a repository starts nothing: it is what later ones are compared with. */
export async function lookAtRepositories(parts: GitPollParts): Promise<void> {
  const due = await listDueSources(parts, parts.database.read, parts.clock.nowMicros(), page);
  await Promise.all(due.map((source) => lookAt(parts, source)));
}

async function lookAt(parts: GitPollParts, source: TaskSource): Promise<void> {
  const { database, outbound, clock, gitPollMs, log } = parts;
  const isCalled = source.providerHook !== undefined;
  const nextAtMicros = clock.nowMicros() + gitPollMs * (isCalled ? rarely : 1) * 1_000;
  try {
    const heads = await readHeads(outbound, source.secrets.repositoryUrl, source.secrets.token);
    await tell(parts, source, heads);
    await database.transaction((tx) => noteLook(tx, source, { heads: heads.branches, problem: null, nextAtMicros }));
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    log.info('repository of a task cannot be looked at', { taskUid: source.taskUid, error: error.message });
    await database.transaction((tx) => noteLook(tx, source, { problem: error.message, nextAtMicros }));
  }
}

/** The wanted branch, where it has another commit than at the last look. */
async function tell(
  { database, gitSources }: GitPollParts,
  source: TaskSource,
  { branches, defaultBranch }: RemoteHeads,
): Promise<void> {
  const resource = await findByUid(database.read, source.taskUid);
  if (resource === undefined || source.heads === undefined) return;
  const task = storedTaskOf(resource);
  const trigger = task.trigger?.sourceTriggers?.find(({ name }) => name === source.name);
  if (trigger === undefined) return;
  const named = wantedBranch(task, trigger);
  const isNamedThere = named !== undefined && branches[named] !== undefined;
  const branch = !isNamedThere && isDefaultWanted(task, named) ? defaultBranch : named;
  const commit = branch === undefined ? undefined : branches[branch];
  if (branch === undefined || commit === undefined || commit === source.heads[branch]) return;
  const before = source.heads[branch];
  const event = { eventType: 'commit', branch, commit, before, pullRequestId: undefined, defaultBranch } as const;
  await gitSources.happened(source, { ...event, addresses: [] });
}
