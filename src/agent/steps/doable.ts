import type { RunOrder } from '../../wire/builds/agent-protocol.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';
import type { Task } from '../../wire/tasks/task-file.ts';

/** Before the first step: what no step of this run could be given ends it, by name. Throws TaskError. */
export function requireDoable({ steps }: Task, { limits }: Pick<RunOrder, 'limits'>): void {
  for (const { id, isPrivileged, cpus } of steps) {
    if (isPrivileged) {
      throw new TaskError(
        `step ${id} asks to be privileged, and no step of a run is: leave privileged out. ` +
          'Steps build, push and run images with docker commands without it',
      );
    }
    if (cpus !== undefined && cpus < limits.cpus) {
      throw new TaskError(
        `step ${id} is to use ${cpus} processors, and steps share the ${limits.cpus} of their run: leave cpus out, ` +
          'or give the run fewer',
      );
    }
  }
}
