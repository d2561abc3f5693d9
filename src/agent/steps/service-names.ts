import { TaskError } from '../../wire/tasks/task-error.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import { splitWords } from '../../wire/tasks/words.ts';
import { parseDockerRun } from './docker-run.ts';

type Service = Pick<TaskStep, 'id' | 'when' | 'isDetached' | 'work'>;

/** Names of containers that serve others of their run: those may have begun before them, and ask for them later. */
export function serviceNames(steps: readonly Service[]): readonly string[] {
  return steps.flatMap(({ id, when, isDetached, work }) => {
    if (work.kind !== 'cmd') return [];
    const run = dockerRunOf(work.text);
    // One that waits for no other runs beside them all.
    const serves = isDetached || run?.isDetached === true || when?.length === 0;
    return serves ? [run?.name ?? id] : [];
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
