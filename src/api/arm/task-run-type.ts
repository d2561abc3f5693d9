import { z } from 'zod';
import { parentRegistry } from '../../features/access/registry-children.ts';
import { newQuickRun } from '../../features/builds/quick-run.ts';
import type { ResolveTaskRun } from '../../features/builds/resolve-task-run.ts';
import type { NewRun } from '../../features/builds/run.ts';
import { isFinal } from '../../features/builds/run-store.ts';
import type { Runs } from '../../features/builds/runs.ts';
import { refuseUnknownPool } from '../../features/builds/tasks/agent-pool.ts';
import { isByRepository } from '../../features/builds/tasks/prepare-task-run.ts';
import { vaultAccessOf } from '../../features/builds/tasks/task-run.ts';
import {
  checkTaskRunName,
  openRequest,
  settleTaskRun,
  shownRequest,
  type TaskRunResourceParts,
  taskRunType,
  validateTaskRun,
} from '../../features/builds/tasks/task-run-resource.ts';
import {
  changeRegistryIdentity,
  forgetRegistryIdentity,
  settleRegistryIdentity,
} from '../../features/registries/registry-identity.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { tellResource } from '../../features/resources/resource-events.ts';
import { findByUid, findForUpdate, findResource, updateResource } from '../../features/resources/resource-store.ts';
import type { ConvergeRun } from '../../features/resources/resource-type.ts';
import { missing } from '../../features/resources/resources.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { JobKind, Jobs } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { ArmType } from './arm-type.ts';
import { runView } from './run-view.ts';

export type TaskRunTypeParts = TaskRunResourceParts & {
  readonly database: Database;
  readonly journal: Journal;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly clock: Clock;
  readonly tenantUid: string;
  /** GUID. */
  readonly tenantId: string;
  readonly builds: { readonly runs: Pick<Runs, 'schedule' | 'find'> };
  readonly resolveTaskRun: ResolveTaskRun;
};

/**
 * Runs that are described as resources, so that templates can have them: made when the resource is written with another
 * request or tag than before; what came of them is shown when it is known. Source: Microsoft.ContainerRegistry/registries/taskRuns.
 */
export function taskRunArmType(parts: TaskRunTypeParts): ArmType {
  return {
    type: taskRunType,
    level: 'child',
    hasLocation: false,
    hasSystemData: true,
    checkName: checkTaskRunName,
    validate: validateTaskRun,
    settle: async (tx, change) => {
      const { resource } = change;
      const identity = await settleRegistryIdentity(parts, tx, change);
      const settled = { ...resource, identity, properties: settleTaskRun(parts, change) };
      await refuseUnknownPool(tx, resource, openRequest(parts, settled).agentPoolName);
      return settled;
    },
    apply: async (writing, change) => {
      await parentRegistry(parts.database.kind, writing.tx, change.resource);
      await changeRegistryIdentity(parts, writing, change);
    },
    converge: {
      isNeeded: ({ resource, previous }) => resource.properties.round !== previous?.properties.round,
      run: async (resource, run) => await makeRun(parts, resource, run),
    },
    forget: async (writing, resource) => await forgetRegistryIdentity(writing, resource),
    properties: ({ properties: { runRequest = {}, forceUpdateTag = null, runResult = null }, state }) => ({
      provisioningState: state,
      runRequest: shownRequest(runRequest),
      runResult,
      forceUpdateTag,
    }),
  };
}

/** Queues the run of this round, once however often it is asked for; a job follows it to its end. */
async function makeRun(parts: TaskRunTypeParts, resource: Resource, converge: ConvergeRun): Promise<void> {
  const registry = await registryOf(parts, resource);
  const key = `taskRun/${resource.uid}/${String(resource.properties.round)}`;
  const run = await parts.builds.runs.schedule({ ...(await newRunOf(parts, registry, resource)), key });
  await converge.write(async ({ tx }, { uid, properties }) => {
    await followLater(parts, tx, uid);
    return { ...properties, runResult: runView(registry, run) };
  });
}

const followJob = 'builds.taskRuns.follow';
const followSchema = z.object({ uid: z.string() });
const followEveryMicros = 2_000_000;

/** Shows on the resource how its run goes. */
export function taskRunFollowJob(parts: TaskRunTypeParts): JobKind {
  return {
    kind: followJob,
    run: async ({ payload }) => await followRun(parts, followSchema.parse(payload).uid),
    leaseMs: 30_000,
    maxAttempts: 20,
  };
}

async function followRun(parts: TaskRunTypeParts, uid: string): Promise<void> {
  const { database, journal, tenantUid } = parts;
  const resource = await findByUid(database.read, uid);
  if (resource === undefined) return;
  const registry = await registryOf(parts, resource);
  const shown = shownRunSchema.safeParse(resource.properties.runResult).data?.properties;
  const run = shown && (await parts.builds.runs.find(registry.uid, shown.runId));
  if (run === undefined) return;
  await journal.transaction(async (tx, append) => {
    if (!isFinal(run.status)) await followLater(parts, tx, uid);
    if (run.status === shown?.status) return;
    const locked = await findForUpdate(database.kind, tx, tenantUid, resource.id);
    // Written since: the run of another round is shown.
    if (locked?.uid !== uid || locked.etag !== resource.etag) return await followLater(parts, tx, uid);
    const changed = { ...locked, properties: { ...locked.properties, runResult: runView(registry, run) } };
    await updateResource(tx, changed);
    tellResource(append, 'resource.updated', changed);
  });
}

const shownRunSchema = z.object({ properties: z.object({ runId: z.string(), status: z.string() }) });

async function followLater({ jobs, clock }: TaskRunTypeParts, tx: Transaction, uid: string): Promise<void> {
  const runAtMicros = clock.nowMicros() + followEveryMicros;
  await jobs.add(tx, { kind: followJob, key: uid, payload: { uid }, runAtMicros });
}

async function registryOf({ database, tenantUid }: TaskRunTypeParts, { parentId }: Resource): Promise<Resource> {
  const registry = await findResource(database.read, tenantUid, parentId);
  if (registry === undefined) throw missing(parentId);
  return registry;
}

async function newRunOf(parts: TaskRunTypeParts, registry: Resource, resource: Resource): Promise<NewRun> {
  const request = openRequest(parts, resource);
  const author = resource.changedBy;
  if (request.type === 'TaskRunRequest') return await parts.resolveTaskRun({ registry, request, author });
  return newQuickRun({
    ...{ registryUid: registry.uid, isByRepository: isByRepository(registry), request, author },
    ...(resource.identity === undefined ? {} : { vaultAccess: vaultAccessOf(resource) }),
  });
}
