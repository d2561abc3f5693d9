import { TaskError } from './task-error.ts';

/** What each step waits for, in the order of the file. */
export type StepGraph = ReadonlyMap<string, readonly string[]>;

export type GraphStep = { readonly id: string; readonly when: readonly string[] | undefined };

/**
 * Orders steps: after those that `when` names, all written before it; without `when` after the step before. So there are no
 * cycles. Throws TaskError. Source: ACR tasks, 2.7.
 */
export function stepGraphOf(steps: readonly GraphStep[]): StepGraph {
  const graph = new Map<string, readonly string[]>();
  let before: string | undefined;
  for (const { id, when } of steps) {
    if (graph.has(id)) throw new TaskError(`${id} already exists as a vertex`);
    const needed = when ?? (before === undefined ? [] : [before]);
    for (const name of needed) {
      if (name === id) throw new TaskError(`Step ID: ${id} is self-referenced`);
      if (!graph.has(name)) throw new TaskError(`${name} does not exist as a vertex [from: ${name}, to: ${id}]`);
    }
    graph.set(id, needed);
    before = id;
  }
  return graph;
}
