import type { Target } from './target.ts';

/** A registry that the benchmark can start, or that runs already. */
export type ServerKind = {
  readonly name: string;
  /** What is on disk when a push is answered 201; printed beside every ratio. */
  readonly durability: string;
  /** Starts it with an empty data folder below `folder`. */
  readonly start: (folder: string) => Promise<StartedServer>;
};

export type StartedServer = { readonly target: Target; readonly stop: () => Promise<void> };
