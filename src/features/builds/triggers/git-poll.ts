import type { JobKind } from '../../../platform/jobs/jobs.ts';
import { SealError } from '../../../platform/keys/sealer.ts';
import type { Outbound } from '../../../platform/outbound/outbound.ts';
import { findByUid } from '../../resources/resource-store.ts';
import { reasonOf } from '../run-order.ts';
import { storedTaskOf } from '../tasks/task.ts';
import { isFaultOfTask } from '../tasks/task-fault.ts';
import { findSourceOfHook, listDueHooks, noteLook, type TaskSource } from '../tasks/task-sources.ts';
import { type DueWork, maxAttempts } from './due-work.ts';
import { RemoteError, type RemoteHeads, readHeads } from './git-remote.ts';
import { type GitSources, type GitSourcesParts, isDefaultWanted, wantedBranch } from './git-sources.ts';
import { headOf, headsAfterLook, lockHeads, worthKeeping } from './source-heads.ts';

export type GitPollParts = GitSourcesParts & {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly gitSources: Pick<GitSources, 'found'>;
  /** Between two looks at a repository whose host does not call. */
  readonly gitPollMs: number;
};

const kind = 'builds.git';
const page = 32;
/** A repository whose host calls is looked at too, as calls are lost. */
const rarely = 12;

/** Looks at the repositories that start tasks. */
export function gitPollJob(parts: GitPollParts): JobKind {
  return {
    kind,
    run: async ({ signal, renew }) => {
      signal.throwIfAborted();
      await lookAtRepositories(parts);
      await renew();
    },
    leaseMs: 120_000,
    maxAttempts,
  };
}

/** Whether it is the time of a repository. */
export const gitPollWork: DueWork = {
  kind,
  isDue: async (queries, nowMicros) => (await listDueHooks(queries, nowMicros, 1)).length > 0,
};

/** Those whose time it is, some of them at once. The first look at a repository starts nothing: it is what later ones are compared with. */
export async function lookAtRepositories(parts: GitPollParts): Promise<void> {
  const due = await listDueHooks(parts.database.read, parts.clock.nowMicros(), page);
  await Promise.all(due.map((hookId) => lookOrPutOff(parts, hookId)));
}

/** What cannot be looked at, or whose task cannot be run, is put off as any other: it would have no end of turns before the rest. */
async function lookOrPutOff(parts: GitPollParts, hookId: string): Promise<void> {
  const { database, log } = parts;
  try {
    await lookAt(parts, hookId);
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) throw error;
    log.info('repository of a task cannot be looked at, or starts nothing', { hookId, error: problem });
    const nextAtMicros = nextLook(parts);
    await database.transaction((tx) => noteLook(tx, hookId, { problem, nextAtMicros }));
  }
}

async function lookAt(parts: GitPollParts, hookId: string): Promise<void> {
  const { database, outbound } = parts;
  const source = await findSourceOfHook(parts, database.read, hookId);
  if (source === undefined) return;
  const nextAtMicros = nextLook(parts, source.providerHook === undefined ? 1 : rarely);
  const found = await readHeads(outbound, source.secrets.repositoryUrl, source.secrets.token);
  const { defaultBranch } = found;
  const branch = await wantedOf(parts, source, found);
  const commit = branch === undefined ? undefined : headOf(found.branches, branch);
  if (branch !== undefined && commit !== undefined && source.heads !== undefined) {
    const before = headOf(source.heads, branch);
    if (before !== commit) await parts.gitSources.found(source, { ...looked, branch, commit, before, defaultBranch });
  }
  await database.transaction(async (tx) => {
    const now = await lockHeads(tx, database.kind, hookId);
    const seen = headsAfterLook(worthKeeping(found.branches, branch), source.heads, now);
    await noteLook(tx, hookId, { heads: seen, problem: null, nextAtMicros });
  });
}

const looked = { eventType: 'commit', pullRequestId: undefined, isFromFork: false, addresses: [] } as const;

function nextLook({ clock, gitPollMs }: GitPollParts, times = 1): number {
  return clock.nowMicros() + gitPollMs * times * 1_000;
}

/** For whoever set the task up; undefined for faults that are not of the repository or the task. */
function problemOf(error: unknown): string | undefined {
  if (error instanceof RemoteError) return error.message;
  if (error instanceof SealError)
    return 'a secret of the task cannot be opened: is the key that it was sealed with there?';
  return isFaultOfTask(error) ? `the task cannot be run: ${reasonOf(error)}` : undefined;
}

/** The branch that the task waits for, where the repository has it; undefined for a task that waits no more. */
async function wantedOf(
  { database }: GitPollParts,
  source: TaskSource,
  { branches, defaultBranch }: RemoteHeads,
): Promise<string | undefined> {
  const resource = await findByUid(database.read, source.taskUid);
  const task = resource && storedTaskOf(resource);
  const trigger = task?.trigger?.sourceTriggers?.find(({ name }) => name === source.name);
  if (task === undefined || trigger === undefined) return undefined;
  const named = wantedBranch(task, trigger);
  const isNamedThere = named !== undefined && headOf(branches, named) !== undefined;
  return !isNamedThere && isDefaultWanted(task, named) ? defaultBranch : named;
}
