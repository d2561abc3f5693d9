import type { RepositoryModel } from './content-model.ts';

/** Something that happens to content as one, between other things. */
export type Move = {
  readonly name: string;
  /** Does it to the model. Answers the next move of the same step; `impossible` where it cannot have happened here. */
  readonly apply: (model: RepositoryModel) => Move | 'end' | 'impossible';
};

/** Of an order of moves: more than this many ways to begin one are too many to look through. */
const most = 50_000;

/**
 * The model as some order of the moves leaves it that `agrees` with what was seen; the moves of each step follow each other,
 * with those of other steps between them. Undefined when there is no such order.
 */
export function serialEnd(
  model: RepositoryModel,
  steps: readonly Move[],
  agrees: (model: RepositoryModel) => boolean,
): RepositoryModel | undefined {
  const seen = new Set<string>();
  const from = (before: RepositoryModel, left: readonly Move[]): RepositoryModel | undefined => {
    if (left.length === 0) return agrees(before) ? before : undefined;
    for (const move of left) {
      const after = before.copy();
      const next = move.apply(after);
      if (next === 'impossible') continue;
      const others = left.filter((each) => each !== move);
      const rest = next === 'end' ? others : [...others, next];
      const key = [...rest.map(({ name }) => name).toSorted(), ...after.lines()].join('\n');
      if (seen.has(key)) continue;
      seen.add(key);
      if (seen.size > most) throw new Error(`more than ${most} orders of what was done at the same time`);
      const end = from(after, rest);
      if (end !== undefined) return end;
    }
    return undefined;
  };
  return from(model, steps);
}

/** Moves that follow each other whatever happens. */
export function inOrder(name: string, changes: readonly ((model: RepositoryModel) => boolean)[]): Move {
  return {
    name: `${name}, ${changes.length} to go`,
    apply: (model) => {
      const [first, ...rest] = changes;
      if (first?.(model) === false) return 'impossible';
      return rest.length === 0 ? 'end' : inOrder(name, rest);
    },
  };
}
