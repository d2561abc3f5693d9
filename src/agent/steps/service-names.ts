import { TaskError } from '../../wire/tasks/task-error.ts';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import { splitWords } from '../../wire/tasks/words.ts';
import { connectAliases } from './docker-network.ts';
import { type DockerRunOptions, isContainerName, parseDockerRun } from './docker-run.ts';

type Service = Pick<TaskStep, 'id' | 'isDetached' | 'work'>;

/**
 * Names of containers that serve others of their run: those may have begun before them, and ask for them later. Steps that only
 * run beside others serve nobody as a rule, and a name here ends others: `dev` takes all of `*.dev` past the proxy.
 */
export function serviceNames(steps: readonly Service[]): readonly string[] {
  return steps.flatMap(({ id, isDetached, work }) => {
    if (work.kind !== 'cmd') return [];
    const words = wordsOf(work.text);
    const run = dockerRunOf(words);
    const names = isDetached || run?.isDetached === true ? [run?.name ?? id, ...(run?.networkAliases ?? [])] : [];
    return [...names, ...aliasesOf(words)];
  });
}

/** None where the step itself will say what is wrong with it. */
function wordsOf(text: string): readonly string[] {
  try {
    return splitWords(text);
  } catch (cause) {
    if (cause instanceof TaskError) return [];
    throw cause;
  }
}

function dockerRunOf([program, verb, ...words]: readonly string[]): DockerRunOptions | undefined {
  try {
    return program === 'docker' && verb === 'run' ? parseDockerRun(words) : undefined;
  } catch (cause) {
    // As above.
    if (cause instanceof TaskError) return undefined;
    throw cause;
  }
}

function aliasesOf([program, noun, verb, ...words]: readonly string[]): readonly string[] {
  const isConnect = program === 'docker' && noun === 'network' && verb === 'connect';
  return isConnect ? connectAliases(words).filter(isContainerName) : [];
}
