import { storedTaskOf, taskType, tidy } from '../../features/builds/tasks/task.ts';
import { applyTask, forgetTask, settleTask, type TaskChangeParts } from '../../features/builds/tasks/task-change.ts';
import { checkTaskName, validateTask } from '../../features/builds/tasks/task-rules.ts';
import { openTask } from '../../features/builds/tasks/task-secrets.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';
import { isoTime, resourceView } from './resource-view.ts';

/** Tasks of a registry. Source: Microsoft.ContainerRegistry/registries/tasks; az wire document, 2.21. */
export function registryTaskType(parts: TaskChangeParts): ArmType {
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
        run: async ({ resource, apiVersion }) =>
          resourceView(
            { ...type, properties: () => viewOf(resource, openTask(parts, resource)) },
            resource,
            apiVersion,
          ),
      },
    },
  };
  return type;
}

/** Clients read members of `step`, `platform`, `trigger` and `credentials` without asking whether they are there. */
function viewOf({ createdAtMicros, state }: Resource, task: object): JsonObject {
  return { credentials: {}, ...tidy(task), creationDate: isoTime(createdAtMicros), provisioningState: state };
}
