import { z } from 'zod';
import type { Clock } from '../../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../../platform/database/database.ts';
import { lockedForUpdate } from '../../../platform/database/locks.ts';
import type { Ids } from '../../../platform/ids.ts';
import type { Jobs } from '../../../platform/jobs/jobs.ts';
import type { Append, Journal } from '../../../platform/journal/journal.ts';
import type { Log } from '../../../platform/log.ts';
import type { OutputImage } from '../../../wire/builds/run-work.ts';
import { imageDependenciesSchema, outputImageSchema } from '../../../wire/builds/run-work.ts';
import type { Directory } from '../../registries/directory.ts';
import type { Registry } from '../../registries/registry.ts';
import { findByUid } from '../../resources/resource-store.ts';
import { runFactsSchema } from '../run-store.ts';
import type { Runs } from '../runs.ts';
import { prepareTaskRun } from '../tasks/prepare-task-run.ts';
import { isEnabled, type StoredTask, storedTaskOf } from '../tasks/task.ts';
import { isFaultOfTask } from '../tasks/task-fault.ts';
import { openTask, type TaskSecretParts } from '../tasks/task-secrets.ts';
import { planBaseUpdateCall } from './base-update-calls.ts';
import { isInRebuild } from './rebuilds.ts';
import { imageKey, TaskGraph } from './task-graph.ts';
import { type BaseImage, basesOf, hostKey, listBases, readGraph, writeOutputs } from './task-images.ts';

export type BaseImagesParts = TaskSecretParts & {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly directory: Pick<Directory, 'byHost' | 'byUid' | 'defaultRegistry'>;
  readonly runs: Pick<Runs, 'scheduleIn'>;
  readonly jobs: Pick<Jobs, 'add'>;
};

/** Of one task, that start it when they change; agents report what they like. */
const maxBases = 1_000;

/** Nobody looks at images of this installation: their pushes are told. */
const never = Number.MAX_SAFE_INTEGER;

/** What `run.finished` says of a run of a task. */
export const finishedRunSchema = z.object({
  runId: z.string(),
  status: z.string(),
  taskUid: z.string().nullable(),
  startedAtMicros: z.number().optional(),
  trigger: z.object({ kind: z.string(), eventType: z.string().optional() }),
  images: z.array(outputImageSchema),
  dependencies: z.array(imageDependenciesSchema),
});
export type FinishedRun = z.infer<typeof finishedRunSchema>;

/** A tag whose digest is another one than the tasks know that stand on it. */
export type MovedBase = Pick<BaseImage, 'host' | 'repository' | 'tag'> & { readonly digest: string };

/** A task, and the registry that it is in. */
type TaskOf = { readonly taskUid: string; readonly registryUid: string };

/**
 * Starts tasks when an image that theirs stand on has changed. What they stand on is learnt from their runs; the digest that
 * counts is the one that the tag had when it was looked at, so the same event or answer twice starts nothing twice: the row
 * moves on in the transaction that queues the run.
 */
export class BaseImages {
  readonly #parts: BaseImagesParts;

  constructor(parts: BaseImagesParts) {
    this.#parts = parts;
  }

  /**
   * Remembers what a successful run of a task stood on. A base that was pushed while it ran starts the task again.
   * A pull request is not what the task builds, and may be a stranger's: it would decide what starts the task from then on.
   */
  async learn(registryUid: string, run: FinishedRun): Promise<void> {
    const { taskUid } = run;
    if (taskUid === null || run.status !== 'Succeeded' || run.trigger.eventType === 'pullrequest') return;
    const of = { taskUid, registryUid };
    await this.#guarded(taskUid, () =>
      this.#parts.journal.transaction(async (tx, append) => {
        if (!(await lockTask(tx, this.#parts.database.kind, taskUid))) return;
        const images = run.images.map((image) => ({ ...image, host: this.#hostOf(image.registry) }));
        await writeOutputs(tx, of, images);
        await this.#start(tx, append, of, await this.#writeBases(tx, of, run));
      }),
    );
    await this.#lookAgain(taskUid);
  }

  /** A base that was set while it was written down: who was told of that did not see yet that the task stands on it. */
  async #lookAgain(taskUid: string): Promise<void> {
    const { read } = this.#parts.database;
    const rows = await read
      .selectFrom('task_bases')
      .select(['base_registry_uid', 'repository', 'tag', 'digest'])
      .where('task_uid', '=', taskUid)
      .execute();
    for (const { base_registry_uid: baseRegistryUid, digest, ...base } of rows) {
      if (baseRegistryUid === null) continue;
      const now = await currentTag(read, baseRegistryUid, base);
      if (now !== undefined && now.digest !== digest) await this.tagsSet(baseRegistryUid, [base]);
    }
  }

  /** Answers what was pushed since the run began, and that nobody has started the task by. */
  async #writeBases(tx: Transaction, { taskUid, registryUid }: TaskOf, run: FinishedRun): Promise<MovedBase[]> {
    const before = await listBases(tx, taskUid);
    await tx.deleteFrom('task_bases').where('task_uid', '=', taskUid).execute();
    const moved: MovedBase[] = [];
    for (const reported of basesOf(run.dependencies).slice(0, maxBases)) {
      const own = this.#ownRegistry(reported.host);
      const base = { ...reported, host: this.#hostOf(reported.host) };
      const now = own && (await currentTag(tx, own.uid, base));
      const known = before.find((each) => imageKey(each) === imageKey(base))?.digest;
      const isNews = now !== undefined && now.changedAtMicros >= (run.startedAtMicros ?? 0) && now.digest !== known;
      if (isNews) moved.push({ ...base, digest: now.digest });
      await tx
        .insertInto('task_bases')
        .values({
          ...base,
          task_uid: taskUid,
          registry_uid: registryUid,
          base_registry_uid: own?.uid ?? null,
          digest: (own === undefined ? known : now?.digest) ?? null,
          check_at: own === undefined ? this.#parts.clock.nowMicros() : never,
        })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
    return moved;
  }

  /** A registry of this installation; on this machine the default one is known as `localhost` too. */
  #ownRegistry(host: string): Registry | undefined {
    const { directory } = this.#parts;
    return /^localhost(:\d+)?$/i.test(host) ? directory.defaultRegistry() : directory.byHost(host);
  }

  #hostOf(host: string): string {
    return this.#ownRegistry(host)?.loginServer.toLowerCase() ?? hostKey(host);
  }

  /** Starts what stands on tags of a registry of this installation that were set just now. */
  async tagsSet(
    baseRegistryUid: string,
    tags: readonly { readonly repository: string; readonly tag: string }[],
  ): Promise<void> {
    const { database, directory, journal } = this.#parts;
    const host = directory.byUid(baseRegistryUid)?.loginServer.toLowerCase();
    if (host === undefined || tags.length === 0) return;
    const rows = await database.read
      .selectFrom('task_bases')
      .select(['task_uid', 'registry_uid', 'repository', 'tag'])
      .where('base_registry_uid', '=', baseRegistryUid)
      .where('repository', 'in', [...new Set(tags.map(({ repository }) => repository))])
      .execute();
    const wanted = rows.filter((row) =>
      tags.some((each) => each.repository === row.repository && each.tag === row.tag),
    );
    for (const [taskUid, bases] of Map.groupBy(wanted, (row) => row.task_uid))
      await this.#guarded(taskUid, () =>
        journal.transaction(async (tx, append) => {
          if (!(await lockTask(tx, database.kind, taskUid))) return;
          const moved: MovedBase[] = [];
          for (const { repository, tag } of bases) {
            const now = await currentTag(tx, baseRegistryUid, { repository, tag });
            if (now !== undefined) moved.push({ host, repository, tag, digest: now.digest });
          }
          const changed = await noteDigests(tx, taskUid, moved);
          await this.#start(tx, append, { taskUid, registryUid: bases[0]?.registry_uid ?? '' }, changed);
        }),
      );
  }

  /** Starts those of the tasks that stand on an image of another registry, which has this digest now; the first one seen starts nothing. */
  async seenElsewhere(image: MovedBase, taskUids: readonly string[]): Promise<void> {
    const { database, journal } = this.#parts;
    const rows = await database.read
      .selectFrom('task_bases')
      .select(['task_uid', 'registry_uid'])
      .where('host', '=', image.host)
      .where('repository', '=', image.repository)
      .where('tag', '=', image.tag)
      .where('base_registry_uid', 'is', null)
      .execute();
    const told = rows.filter(({ task_uid }) => taskUids.includes(task_uid));
    for (const { task_uid: taskUid, registry_uid: registryUid } of told)
      await this.#guarded(taskUid, () =>
        journal.transaction(async (tx, append) => {
          if (!(await lockTask(tx, database.kind, taskUid))) return;
          const known = (await listBases(tx, taskUid)).find((each) => imageKey(each) === imageKey(image));
          const changed = await noteDigests(tx, taskUid, [image]);
          await this.#start(tx, append, { taskUid, registryUid }, known?.digest === undefined ? [] : changed);
        }),
      );
  }

  /** A task that cannot be run keeps no other from being started; faults of our own are thrown, and met again. */
  async #guarded(taskUid: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isFaultOfTask(error)) throw error;
      this.#parts.log.warn('task could not be started by its base image', { taskUid, error });
    }
  }

  async #start(
    tx: Transaction,
    append: Append,
    { taskUid, registryUid }: TaskOf,
    moved: readonly MovedBase[],
  ): Promise<void> {
    if (moved.length === 0) return;
    const { ids, clock, runs, jobs, log } = this.#parts;
    const resource = await findByUid(tx, taskUid);
    if (resource === undefined) return;
    const images = await this.#wanted(tx, taskUid, storedTaskOf(resource), moved);
    if (
      images.length === 0 ||
      (await isWaiting(tx, registryUid, taskUid)) ||
      (await isInRebuild(tx, taskUid, clock.nowMicros()))
    )
      return;
    const update = {
      id: ids.guid(),
      timestamp: new Date(clock.nowMicros() / 1_000).toISOString(),
      images: images.map(outputImageOf),
    };
    const run = await prepareTaskRun(this.#parts, tx, { taskUid, registryUid, trigger: { kind: 'image', ...update } });
    if (run === undefined) return;
    const { run_id: runId } = await runs.scheduleIn(tx, append, run);
    if (openTask(this.#parts, resource).trigger?.baseImageTrigger?.updateTriggerEndpoint)
      await planBaseUpdateCall(tx, jobs, { ...update, taskUid, registryUid, runId });
    log.info('task started by its base image', { task: resource.name, runId, images: images.map(imageKey) });
  }

  /** Those that the task is to be started by: of the kind that its trigger names, and not made by what it would start. */
  async #wanted(tx: Transaction, taskUid: string, task: StoredTask, moved: readonly MovedBase[]): Promise<MovedBase[]> {
    const trigger = task.trigger?.baseImageTrigger;
    if (!isEnabled(task) || !trigger || !isEnabled(trigger)) return [];
    const kinds = new Map((await listBases(tx, taskUid)).map((base) => [imageKey(base), base.kind]));
    const tracked = moved.filter(
      (each) => trigger.baseImageTriggerType === 'All' || kinds.get(imageKey(each)) === 'runtime',
    );
    if (tracked.length === 0 || !(await isMadeByTask(tx, tracked))) return tracked;
    const graph = new TaskGraph(await readGraph(tx));
    return tracked.filter((each) => {
      if (!graph.isMadeAbove(taskUid, imageKey(each))) return true;
      this.#parts.log.info('task not started by an image that it makes itself', { taskUid, image: imageKey(each) });
      return false;
    });
  }
}

/**
 * False for a task that is gone. Several servers are told of the same pushes, and of pushes of several bases: what they decide for
 * one task they decide one after another.
 */
async function lockTask(tx: Transaction, kind: Database['kind'], taskUid: string): Promise<boolean> {
  const query = tx.selectFrom('resources').select('uid').where('uid', '=', taskUid);
  return (await lockedForUpdate(kind, query).executeTakeFirst()) !== undefined;
}

/** Whether a task makes one of the images; only then who stands on whom has to be looked at. */
async function isMadeByTask(tx: Transaction, images: readonly MovedBase[]): Promise<boolean> {
  for (const { host, repository, tag } of images) {
    const row = await tx
      .selectFrom('task_outputs')
      .select('task_uid')
      .where('host', '=', host)
      .where('repository', '=', repository)
      .where('tag', '=', tag)
      .limit(1)
      .executeTakeFirst();
    if (row !== undefined) return true;
  }
  return false;
}

function outputImageOf({ host, repository, tag, digest }: MovedBase): OutputImage {
  return { registry: host, repository, tag, digest };
}

/** Those whose digest was another one; from here on it is known. */
async function noteDigests(tx: Transaction, taskUid: string, moved: readonly MovedBase[]): Promise<MovedBase[]> {
  const changed: MovedBase[] = [];
  for (const image of moved) {
    const row = await tx
      .updateTable('task_bases')
      .set({ digest: image.digest })
      .where('task_uid', '=', taskUid)
      .where('host', '=', image.host)
      .where('repository', '=', image.repository)
      .where('tag', '=', image.tag)
      .where((at) => at.or([at('digest', 'is', null), at('digest', '<>', image.digest)]))
      .returning('tag')
      .executeTakeFirst();
    if (row !== undefined) changed.push(image);
  }
  return changed;
}

/** A run that the base image asked for and that no agent has begun takes the newer one as well. */
async function isWaiting(tx: Transaction, registryUid: string, taskUid: string): Promise<boolean> {
  const rows = await tx
    .selectFrom('runs')
    .select('facts')
    .where('registry_uid', '=', registryUid)
    .where('finished_at', 'is', null)
    .where('status', '=', 'Queued')
    .where('task_uid', '=', taskUid)
    .execute();
  return rows.some(({ facts }) => runFactsSchema.parse(JSON.parse(facts)).trigger.kind === 'image');
}

async function currentTag(
  queries: Queries,
  registryUid: string,
  { repository, tag }: { readonly repository: string; readonly tag: string },
): Promise<{ readonly digest: string; readonly changedAtMicros: number } | undefined> {
  const row = await queries
    .selectFrom('tags')
    .innerJoin('repositories', 'repositories.uid', 'tags.repository_uid')
    .select(['tags.digest', 'tags.changed_at'])
    .where('repositories.registry_uid', '=', registryUid)
    .where('repositories.name', '=', repository)
    .where('tags.name', '=', tag)
    .executeTakeFirst();
  return row && { digest: row.digest, changedAtMicros: row.changed_at };
}
