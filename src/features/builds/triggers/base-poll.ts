import type { Clock } from '../../../platform/clock.ts';
import type { Database, Queries } from '../../../platform/database/database.ts';
import type { Ids } from '../../../platform/ids.ts';
import type { JobKind } from '../../../platform/jobs/jobs.ts';
import { SealError } from '../../../platform/keys/sealer.ts';
import type { Log } from '../../../platform/log.ts';
import type { Outbound } from '../../../platform/outbound/outbound.ts';
import type { Resource } from '../../resources/resource.ts';
import { findByUid } from '../../resources/resource-store.ts';
import type { StoredTask } from '../tasks/task.ts';
import { openTask, type TaskSecretParts } from '../tasks/task-secrets.ts';
import type { BaseImages } from './base-images.ts';
import { type DueWork, maxAttempts } from './due-work.ts';
import { type RemoteLogin, RemoteRegistryError, type RemoteTag, readRemoteDigest } from './remote-digest.ts';
import { hostKey } from './task-images.ts';

export type BasePollParts = TaskSecretParts & {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly outbound: Pick<Outbound, 'call'>;
  readonly baseImages: Pick<BaseImages, 'seenElsewhere'>;
  /** Between two looks at an image of another registry, in the mean. */
  readonly baseImagePollMs: number;
};

const kind = 'builds.bases';
const page = 16;

/** Looks at the images of other registries that those of tasks stand on. */
export function basePollJob(parts: BasePollParts): JobKind {
  return {
    kind,
    run: async ({ signal, renew }) => {
      signal.throwIfAborted();
      await lookAtBases(parts, renew);
    },
    leaseMs: 120_000,
    maxAttempts,
  };
}

/** Whether it is the time of an image. */
export const basePollWork: DueWork = {
  kind,
  isDue: async (queries, nowMicros) => (await dueImages(queries, nowMicros, 1)).length > 0,
};

/** Those whose time it is, each image once for all tasks that have the same sign-in there. */
export async function lookAtBases(parts: BasePollParts, renew: () => Promise<void> = async () => {}): Promise<void> {
  const due = await dueImages(parts.database.read, parts.clock.nowMicros(), page);
  await Promise.all(due.map((image) => lookAt(parts, image, renew)));
}

async function dueImages(queries: Queries, nowMicros: number, limit: number): Promise<RemoteTag[]> {
  return await queries
    .selectFrom('task_bases')
    .select(['host', 'repository', 'tag'])
    .where('check_at', '<=', nowMicros)
    .where('base_registry_uid', 'is', null)
    .groupBy(['host', 'repository', 'tag'])
    .limit(limit)
    .execute();
}

/** A task is told only what its own sign-in sees: that of another may see more, or be wrong. */
async function lookAt(
  parts: BasePollParts,
  { host, repository, tag }: RemoteTag,
  renew: () => Promise<void>,
): Promise<void> {
  const { outbound, baseImages, log } = parts;
  const image = { host, repository, tag };
  const signIns = await signInsOf(parts, image);
  for (const { login, taskUids } of signIns) {
    try {
      const digest = await readRemoteDigest(outbound, image, login);
      if (digest !== undefined) await baseImages.seenElsewhere({ ...image, digest }, taskUids);
    } catch (error) {
      if (!(error instanceof RemoteRegistryError)) throw error;
      log.info('base image of tasks cannot be looked at', { ...image, taskUids, error: error.message });
    }
    await renew();
  }
  await putOff(
    parts,
    image,
    signIns.flatMap(({ taskUids }) => taskUids),
  );
}

type SignIn = { readonly login: RemoteLogin | undefined; readonly taskUids: readonly string[] };

async function signInsOf(parts: BasePollParts, { host, repository, tag }: RemoteTag): Promise<SignIn[]> {
  const rows = await parts.database.read
    .selectFrom('task_bases')
    .select('task_uid')
    .where('host', '=', host)
    .where('repository', '=', repository)
    .where('tag', '=', tag)
    .where('base_registry_uid', 'is', null)
    .orderBy('task_uid')
    .execute();
  const found: { readonly login: RemoteLogin | undefined; readonly taskUid: string }[] = [];
  for (const { task_uid: taskUid } of rows) found.push({ login: await loginOf(parts, taskUid, host), taskUid });
  const groups = Map.groupBy(found, ({ login }) => JSON.stringify([login?.username, login?.password]));
  return [...groups.values()].map((each) => ({
    login: each[0]?.login,
    taskUids: each.map(({ taskUid }) => taskUid),
  }));
}

/**
 * By half to one and a half of the mean: many images are not looked at in the same moment. A task that came to stand on the image
 * meanwhile is still to be told what it is now.
 */
async function putOff(
  { database, clock, ids, baseImagePollMs }: BasePollParts,
  image: RemoteTag,
  taskUids: readonly string[],
): Promise<void> {
  if (taskUids.length === 0) return;
  const [random = 0] = ids.bytes(1);
  const nextAt = clock.nowMicros() + Math.round(baseImagePollMs * (0.5 + random / 255) * 1_000);
  await database.transaction((tx) =>
    tx
      .updateTable('task_bases')
      .set({ check_at: nextAt })
      .where('host', '=', image.host)
      .where('repository', '=', image.repository)
      .where('tag', '=', image.tag)
      .where('base_registry_uid', 'is', null)
      .where('task_uid', 'in', taskUids)
      .execute(),
  );
}

/** The credential that the task has for the registry; none for a public one, and where it cannot be opened. */
async function loginOf(parts: BasePollParts, taskUid: string, host: string): Promise<RemoteLogin | undefined> {
  const resource = await findByUid(parts.database.read, taskUid);
  if (resource === undefined) return undefined;
  const registries = Object.entries(openedTask(parts, resource)?.credentials?.customRegistries ?? {});
  const found = registries.find(([server]) => hostKey(server) === host)?.[1];
  const [username, password] = [found?.userName?.value, found?.password?.value];
  return username && password ? { username, password } : undefined;
}

function openedTask(parts: BasePollParts, resource: Resource): StoredTask | undefined {
  try {
    return openTask(parts, resource);
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    parts.log.warn('secrets of a task cannot be opened', { taskUid: resource.uid, error });
    return undefined;
  }
}
