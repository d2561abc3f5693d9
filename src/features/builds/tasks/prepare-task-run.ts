import type { Queries } from '../../../platform/database/database.ts';
import { propertiesOf } from '../../registries/registry-rules.ts';
import type { Resource } from '../../resources/resource.ts';
import { findByUid } from '../../resources/resource-store.ts';
import type { NewRun, RunTrigger } from '../run.ts';
import { newTaskRun } from './task-run.ts';
import { openTask, type TaskSecretParts } from './task-secrets.ts';

/** What a trigger asks for. */
export type TriggeredRun = {
  readonly taskUid: string;
  readonly registryUid: string;
  readonly trigger: RunTrigger;
  readonly key?: string;
};

/** The run that a trigger starts; undefined when the task or its registry is gone. Throws `resourceInvalid`, SealError. */
export async function prepareTaskRun(
  parts: TaskSecretParts,
  queries: Queries,
  { taskUid, registryUid, trigger, key }: TriggeredRun,
): Promise<NewRun | undefined> {
  const resource = await findByUid(queries, taskUid);
  const registry = await findByUid(queries, registryUid);
  if (resource === undefined || registry === undefined || resource.state === 'Deleting') return undefined;
  return newTaskRun({
    registryUid,
    resource,
    task: openTask(parts, resource),
    isByRepository: isByRepository(registry),
    trigger,
    ...(key === undefined ? {} : { key }),
  });
}

export function isByRepository(registry: Resource): boolean {
  return propertiesOf(registry).roleAssignmentMode === 'AbacRepositoryPermissions';
}
