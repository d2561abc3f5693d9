import { Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { type AliasImages, aliasImagesOf, isAliasThere } from '../../features/builds/alias-images.ts';
import { taskType } from '../../features/builds/tasks/task.ts';
import type { TaskSecretParts } from '../../features/builds/tasks/task-secrets.ts';
import { listSources } from '../../features/builds/tasks/task-sources.ts';
import { hookUrl } from '../../features/builds/triggers/provider-hooks.ts';
import type { Rebuilds } from '../../features/builds/triggers/rebuilds.ts';
import { imageKey, TaskGraph } from '../../features/builds/triggers/task-graph.ts';
import { hostKey, listBases, readGraph } from '../../features/builds/triggers/task-images.ts';
import type { Registry } from '../../features/registries/registry.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { findByUid, findResource, listOfTypeBelow } from '../../features/resources/resource-store.ts';
import type { Database } from '../../platform/database/database.ts';
import {
  type TaskAliasesView,
  type TaskGraphView,
  type TaskRebuildRequest,
  type TaskRebuildView,
  type TaskWebhooksView,
  taskRebuildRequestSchema,
} from '../../wire/admin/task-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf, registryNamed } from './admin-call.ts';

export type TaskRouteParts = AdminCallParts &
  TaskSecretParts & {
    readonly database: Database;
    readonly builds: { readonly aliasImages: AliasImages };
    readonly tasks: { readonly rebuilds: Pick<Rebuilds, 'begin'>; readonly hookOrigin: string | undefined };
  };

/** Which images stand on which, rebuilding them, and what git hosts are to call. */
export function taskRoutes(parts: TaskRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get(
    '/admin/registries/:name/task-graph',
    asOwner(parts, async (c) => c.json(await graphView(parts, registryNamed(parts, c)))),
  );
  routes.get(
    '/admin/registries/:name/task-aliases',
    asOwner(parts, async (c) => c.json(await aliasesView(parts, registryNamed(parts, c)))),
  );
  routes.post(
    '/admin/registries/:name/task-rebuild',
    asOwner(parts, async (c) => {
      const registry = registryNamed(parts, c);
      return c.json(await rebuild(parts, registry, await bodyOf(parts, c, taskRebuildRequestSchema)), 202);
    }),
  );
  routes.get(
    '/admin/registries/:name/tasks/:task/webhooks',
    asOwner(parts, async (c) => {
      const task = await taskNamed(parts, registryNamed(parts, c), c.req.param('task') ?? '');
      return c.json(await webhooksView(parts, task), 200, { 'Cache-Control': 'no-store' });
    }),
  );
  return routes;
}

async function graphView(parts: TaskRouteParts, registry: Registry): Promise<TaskGraphView> {
  const { read } = parts.database;
  const resources = await tasksOf(parts, registry);
  const nodes = await readGraph(read, registry.uid);
  const graph = new TaskGraph(nodes);
  const nameOf = (uid: string) => resources.find((each) => each.uid === uid)?.name;
  const tasks: TaskGraphView['tasks'] = [];
  for (const { uid, name } of resources) {
    const bases = await listBases(read, uid);
    tasks.push({
      name,
      makes: [...(nodes.find((each) => each.uid === uid)?.outputs ?? [])],
      standsOn: bases.map((base) => ({ image: imageKey(base), kind: base.kind, digest: base.digest ?? null })),
      waitsFor: graph.below(uid).flatMap((each) => nameOf(each) ?? []),
    });
  }
  return { tasks };
}

async function aliasesView(
  { builds, database, directory }: TaskRouteParts,
  { loginServer }: Registry,
): Promise<TaskAliasesView> {
  const aliases: TaskAliasesView['aliases'] = [];
  const uidOf = (host: string) => directory.byHost(host)?.uid;
  for (const alias of aliasImagesOf(builds.aliasImages, loginServer))
    aliases.push({ ...alias, isThere: (await isAliasThere(database.read, uidOf, alias)) ?? null });
  return { aliases };
}

async function rebuild(
  parts: TaskRouteParts,
  registry: Registry,
  request: TaskRebuildRequest,
): Promise<TaskRebuildView> {
  const resources = await tasksOf(parts, registry);
  const nameOf = (uid: string) => resources.find((each) => each.uid === uid)?.name ?? uid;
  const uids =
    'task' in request
      ? [(await taskNamed(parts, registry, request.task)).uid]
      : await standingOn(parts, registry, request.image);
  if (uids.length === 0) throw new BerthError('taskUnknown', { registry: registry.name, ...request });
  const steps = await parts.tasks.rebuilds.begin(registry.uid, uids);
  return { steps: steps.map(({ taskUid, waitsFor }) => ({ task: nameOf(taskUid), waitsFor: waitsFor.map(nameOf) })) };
}

/** Tasks whose images stand on one: `repository:tag` of the registry itself, or with the host of another. */
async function standingOn({ database }: TaskRouteParts, registry: Registry, image: string): Promise<string[]> {
  const [, first = '', rest = ''] = /^([^/]+)\/(.+)$/.exec(image) ?? [];
  const hasHost = /[.:]/.test(first) || first === 'localhost';
  const keys = [`${registry.loginServer.toLowerCase()}/${image}`, ...(hasHost ? [`${hostKey(first)}/${rest}`] : [])];
  const nodes = await readGraph(database.read, registry.uid);
  return nodes.filter(({ bases }) => bases.some((each) => keys.includes(each))).map(({ uid }) => uid);
}

async function webhooksView(parts: TaskRouteParts, task: Resource): Promise<TaskWebhooksView> {
  const { hookOrigin } = parts.tasks;
  const sources = await listSources(parts, parts.database.read, task.uid);
  return {
    webhooks: sources
      .filter(({ isLeaving }) => !isLeaving)
      .map(({ name, hookId, secrets, providerHook, problem }) => ({
        trigger: name,
        repository: secrets.repositoryUrl,
        url: hookOrigin === undefined ? null : hookUrl(hookOrigin, hookId),
        secret: secrets.secret,
        isMade: providerHook !== undefined,
        problem: problem ?? null,
      })),
  };
}

async function tasksOf({ database }: TaskRouteParts, registry: Registry): Promise<Resource[]> {
  const parent = await resourceOf(database, registry);
  return await listOfTypeBelow(database.read, parent.tenantUid, [parent.id], taskType);
}

/** Throws `taskUnknown`. */
async function taskNamed({ database }: TaskRouteParts, registry: Registry, name: string): Promise<Resource> {
  const parent = await resourceOf(database, registry);
  const found = await findResource(database.read, parent.tenantUid, `${parent.id}/tasks/${name}`);
  if (found !== undefined) return found;
  throw new BerthError('taskUnknown', { registry: registry.name, task: name });
}

async function resourceOf({ read }: Database, { uid, name }: Registry): Promise<Resource> {
  const resource = await findByUid(read, uid);
  if (resource === undefined) throw new BerthError('registryUnknown', { name });
  return resource;
}
