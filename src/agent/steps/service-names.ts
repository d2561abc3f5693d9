import { TaskError } from '../../wire/tasks/task-error.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import { splitWords } from '../../wire/tasks/words.ts';
import { parseDockerRun } from './docker-run.ts';

type Service = Pick<TaskStep, 'id' | 'isDetached' | 'work'>;

/**
 * Names of containers that serve others of their run: those may have begun before them, and ask for them later. Steps that only
 * run beside others serve nobody as a rule, and a name here ends others: `dev` takes all of `*.dev` past the proxy.
 */
export function serviceNames(steps: readonly Service[]): readonly string[] {
  return steps.flatMap(({ id, isDetached, work }) => {
    if (work.kind !== 'cmd') return [];
    const run = dockerRunOf(work.text);
    return isDetached || run?.isDetached === true ? [run?.name ?? id] : [];
  });
}

function dockerRunOf(text: string): ReturnType<typeof parseDockerRun> | undefined {
  try {
    const [program, verb, ...words] = splitWords(text);
    return program === 'docker' && verb === 'run' ? parseDockerRun(words) : undefined;
  } catch (cause) {
    // The step itself will say what is wrong with it.
    if (cause instanceof TaskError) return undefined;
    throw cause;
  }
}
