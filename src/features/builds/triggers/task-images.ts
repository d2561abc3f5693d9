import type { Queries, Transaction } from '../../../platform/database/database.ts';
import type { ImageDependencies, ImageReference } from '../../../wire/builds/run-work.ts';
import { type GraphTask, imageKey } from './task-graph.ts';

/** An image that a task's own stand on. */
export type BaseImage = {
  /** Lower case; Docker Hub is `docker.io`. */
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
  readonly kind: 'runtime' | 'buildtime';
};

/** One row of what tasks stand on. */
export type TaskBase = BaseImage & {
  readonly taskUid: string;
  readonly registryUid: string;
  readonly digest: string | undefined;
};

const dockerHub = ['registry.hub.docker.com', 'index.docker.io', 'registry-1.docker.io', 'docker.io'];

/** A registry's name, whichever of its names was used. */
export function hostKey(host: string): string {
  const key = host.toLowerCase();
  return dockerHub.includes(key) ? 'docker.io' : key;
}

/** What the images of a run stand on; those named by digest never change. One that is both counts as runtime. */
export function basesOf(dependencies: readonly ImageDependencies[]): BaseImage[] {
  const found = new Map<string, BaseImage>();
  const add = (kind: BaseImage['kind'], reference: ImageReference) => {
    const base = baseOf(kind, reference);
    if (base !== undefined && found.get(imageKey(base))?.kind !== 'runtime') found.set(imageKey(base), base);
  };
  for (const { runtime, buildtime } of dependencies) {
    if (runtime !== undefined) add('runtime', runtime);
    for (const each of buildtime) add('buildtime', each);
  }
  return [...found.values()];
}

function baseOf(
  kind: BaseImage['kind'],
  { registry, repository, tag, reference }: ImageReference,
): BaseImage | undefined {
  const isFixed = tag === undefined || tag === '' || reference.includes('@');
  if (isFixed || registry === '' || repository === 'scratch') return undefined;
  const host = hostKey(registry);
  const isOfficial = host === 'docker.io' && !repository.includes('/');
  return { host, repository: isOfficial ? `library/${repository}` : repository, tag, kind };
}

export async function listBases(queries: Queries, taskUid: string): Promise<TaskBase[]> {
  return await basesOfTasks(queries, [taskUid]);
}

export async function basesOfTasks(queries: Queries, taskUids: readonly string[]): Promise<TaskBase[]> {
  if (taskUids.length === 0) return [];
  const rows = await queries
    .selectFrom('task_bases')
    .selectAll()
    .where('task_uid', 'in', taskUids)
    .orderBy('host')
    .orderBy('repository')
    .orderBy('tag')
    .execute();
  return rows.map(({ task_uid, registry_uid, host, repository, tag, kind, digest }) => ({
    taskUid: task_uid,
    registryUid: registry_uid,
    host,
    repository,
    tag,
    kind,
    digest: digest ?? undefined,
  }));
}

/** What a run of a task reported takes the place of what an earlier one did. */
export async function writeOutputs(
  tx: Transaction,
  { taskUid, registryUid }: { readonly taskUid: string; readonly registryUid: string },
  images: readonly Omit<BaseImage, 'kind'>[],
): Promise<void> {
  await tx.deleteFrom('task_outputs').where('task_uid', '=', taskUid).execute();
  const unique = new Map(
    images
      .filter(({ tag }) => tag !== '')
      .map(({ host, repository, tag }) => [imageKey({ host, repository, tag }), { host, repository, tag }]),
  );
  for (const image of unique.values())
    await tx
      .insertInto('task_outputs')
      .values({ task_uid: taskUid, registry_uid: registryUid, ...image })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
}

/** What all tasks make and stand on; of one registry, or of all. */
export async function readGraph(queries: Queries, registryUid?: string): Promise<GraphTask[]> {
  const of = <T extends { where: (column: 'registry_uid', operator: '=', value: string) => T }>(query: T) =>
    registryUid === undefined ? query : query.where('registry_uid', '=', registryUid);
  const outputs = await of(queries.selectFrom('task_outputs').selectAll()).execute();
  const bases = await of(queries.selectFrom('task_bases').selectAll()).execute();
  const uids = new Set([...outputs, ...bases].map((row) => row.task_uid));
  const outputsBy = Map.groupBy(outputs, (row) => row.task_uid);
  const basesBy = Map.groupBy(bases, (row) => row.task_uid);
  return [...uids].map((uid) => ({
    uid,
    outputs: (outputsBy.get(uid) ?? []).map(imageKey),
    bases: (basesBy.get(uid) ?? []).map(imageKey),
  }));
}
