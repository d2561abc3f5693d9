import { storedTaskOf, taskType, tidy } from '../../features/builds/tasks/task.ts';
import { applyTask, forgetTask, settleTask, type TaskChangeParts } from '../../features/builds/tasks/task-change.ts';
import { checkTaskName, validateTask } from '../../features/builds/tasks/task-rules.ts';
import { openTask } from '../../features/builds/tasks/task-secrets.ts';
import { listBases } from '../../features/builds/triggers/task-images.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { isoTime, resourceView } from './resource-view.ts';

export type TaskTypeParts = TaskChangeParts & { readonly database: Pick<Database, 'read'> };

/** Tasks of a registry. Source: Microsoft.ContainerRegistry/registries/tasks; az wire document, 2.21. */
export function registryTaskType(parts: TaskTypeParts): ArmType {
  const type: ArmType = {
    type: taskType,
    level: 'child',
    hasLocation: true,
    hasSystemData: true,
    createdStatus: 200,
    checkName: checkTaskName,
    validate: validateTask,
    settle: (tx, change) => settleTask(parts, tx, change),
    apply: (writing, change) => applyTask(parts, writing, change),
    forget: (writing, resource) => forgetTask(parts, writing, resource),
    properties: (resource) => viewOf(resource, storedTaskOf(resource)),
    actions: {
      listdetails: {
        method: 'POST',
        isChange: false,
        run: async ({ resource, apiVersion }) => {
          const details = await detailsOf(parts, resource);
          return resourceView({ ...type, properties: () => viewOf(resource, details) }, resource, apiVersion);
        },
      },
    },
  };
  return type;
}

/** With its secrets, and what its last good run told of the images that it stands on. */
async function detailsOf(parts: TaskTypeParts, resource: Resource): Promise<object> {
  const task = openTask(parts, resource);
  const bases = await listBases(parts.database.read, resource.uid);
  if (!task.step || bases.length === 0) return task;
  const baseImageDependencies = bases.map(({ kind, host, repository, tag, digest }) => ({
    type: kind === 'runtime' ? 'RunTime' : 'BuildTime',
    ...{ registry: host, repository, tag, digest: digest ?? null },
  }));
  return { ...task, step: { ...task.step, baseImageDependencies } };
}

/** Clients read members of `step`, `platform`, `trigger` and `credentials` without asking whether they are there. */
function viewOf({ createdAtMicros, state }: Resource, task: object): JsonObject {
  return { credentials: {}, ...tidy(task), creationDate: isoTime(createdAtMicros), provisioningState: state };
}
