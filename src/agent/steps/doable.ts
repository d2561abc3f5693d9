import type { RunOrder } from '../../wire/builds/agent-protocol.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import type { Task, TaskStep } from '../../wire/tasks/task-file.ts';
import { unheldBuild } from '../executors/buildkit.ts';

type Limited = { readonly limits: Pick<RunOrder['limits'], 'cpus'> };

/** What a step is held to, where that is less than what its run has. */
export function ownProcessors({ cpus }: Pick<TaskStep, 'cpus'>, { limits }: Limited): number | undefined {
  return cpus !== undefined && cpus < limits.cpus ? cpus : undefined;
}

/** Before the first step: what no step of this run could be given ends it, by name. Throws TaskError. */
export function requireDoable(
  { steps }: Task,
  order: Limited,
  { hasBuildKit }: { readonly hasBuildKit: boolean },
): void {
  for (const step of steps) {
    const { id, isPrivileged, work } = step;
    if (isPrivileged) {
      throw new TaskError(
        `step ${id} asks to be privileged, and no step of a run is: leave privileged out. ` +
          'Steps build, push and run images with docker commands without it',
      );
    }
    const cpus = ownProcessors(step, order);
    if (cpus !== undefined && work.kind === 'build' && hasBuildKit)
      throw new TaskError(`step ${id} cannot build with ${cpus} processors: ${unheldBuild}`);
  }
}
