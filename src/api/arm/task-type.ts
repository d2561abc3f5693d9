import { type StoredTask, storedTaskOf, taskType, tidy } from '../../features/builds/tasks/task.ts';
import { applyTask, forgetTask, settleTask, type TaskChangeParts } from '../../features/builds/tasks/task-change.ts';
import { checkTaskName, validateTask } from '../../features/builds/tasks/task-rules.ts';
import { openTask } from '../../features/builds/tasks/task-secrets.ts';
import { withoutCredentials } from '../../features/builds/triggers/repository-path.ts';
import { basesOfTasks, type TaskBase } from '../../features/builds/triggers/task-images.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { fullViews, isoTime } from './resource-view.ts';

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
    properties: (resource) => viewOf(resource, withPlainAddresses(storedTaskOf(resource))),
    derived: (resources) => basesIn(parts, resources),
    actions: {
      listdetails: {
        method: 'POST',
        isChange: false,
        run: async ({ resource, apiVersion }) => {
          const open = { ...type, properties: () => viewOf(resource, openTask(parts, resource)) };
          const [details = {}] = await fullViews(open, [resource], apiVersion);
          return details;
        },
      },
    },
  };
  return type;
}

/** What their last good runs told of the images that they stand on. */
async function basesIn(
  { database }: TaskTypeParts,
  tasks: readonly Resource[],
): Promise<ReadonlyMap<string, JsonObject>> {
  const withSteps = tasks.filter((task) => storedTaskOf(task).step).map(({ uid }) => uid);
  const bases = Map.groupBy(await basesOfTasks(database.read, withSteps), ({ taskUid }) => taskUid);
  return new Map([...bases].map(([uid, of]) => [uid, { step: { baseImageDependencies: of.map(dependencyOf) } }]));
}

function dependencyOf({ kind, host, repository, tag, digest }: TaskBase): JsonObject {
  const type = kind === 'runtime' ? 'RunTime' : 'BuildTime';
  return { type, registry: host, repository, tag, digest: digest ?? null };
}

/** People write access tokens into addresses: those are among the details. */
function withPlainAddresses({ step, trigger, ...task }: StoredTask): StoredTask {
  const context = step?.contextPath ? { contextPath: withoutCredentials(step.contextPath) } : {};
  const sourceTriggers = trigger?.sourceTriggers?.map((each) => {
    const repositoryUrl = withoutCredentials(each.sourceRepository.repositoryUrl);
    return { ...each, sourceRepository: { ...each.sourceRepository, repositoryUrl } };
  });
  return {
    ...task,
    ...(step && { step: { ...step, ...context } }),
    ...(trigger && { trigger: { ...trigger, ...(sourceTriggers && { sourceTriggers }) } }),
  };
}

/** Clients read members of `step`, `platform`, `trigger` and `credentials` without asking whether they are there. */
function viewOf({ createdAtMicros, state }: Resource, task: object): JsonObject {
  return { credentials: {}, ...tidy(task), creationDate: isoTime(createdAtMicros), provisioningState: state };
}
