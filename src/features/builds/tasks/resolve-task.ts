import type { Database } from '../../../platform/database/database.ts';
import { refuse } from '../../resources/refuse.ts';
import { idKey } from '../../resources/resource.ts';
import { findResource } from '../../resources/resource-store.ts';
import { missing } from '../../resources/resources.ts';
import type { ResolveTaskRun } from '../resolve-task-run.ts';
import { isByRepository } from './prepare-task-run.ts';
import { taskType } from './task.ts';
import { newTaskRun } from './task-run.ts';
import { openTask, type TaskSecretParts } from './task-secrets.ts';

export type ResolveTaskParts = TaskSecretParts & { readonly database: Database };

/** The runs that people ask of tasks; a disabled task can be run by hand. Source: ACR tasks, 4.5. */
export function createResolveTaskRun(parts: ResolveTaskParts): ResolveTaskRun {
  return async ({ registry, request, author }) => {
    const { taskId, overrideTaskStepProperties: given, agentPoolName, isArchiveEnabled, logTemplate } = request;
    if (!idKey(taskId).startsWith(`${idKey(registry.id)}/tasks/`))
      throw refuse('resourceInvalid', {
        message: `'${taskId.slice(0, 300)}' is not a task of the registry '${registry.name}'.`,
        target: 'taskId',
      });
    const resource = await findResource(parts.database.read, registry.tenantUid, taskId);
    if (resource === undefined || resource.type !== taskType) throw missing(taskId);
    return newTaskRun({
      registryUid: registry.uid,
      resource,
      task: openTask(parts, resource),
      isByRepository: isByRepository(registry),
      trigger: { kind: 'manual' },
      caller: author,
      overrides: {
        ...given,
        isArchiveEnabled,
        ...(agentPoolName ? { agentPoolName } : {}),
        ...(logTemplate ? { logTemplate } : {}),
      },
    });
  };
}
