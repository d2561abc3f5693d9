import type { Reference } from '../../core/reference.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import type { Registry } from '../registries/registry.ts';
import type { Action } from './decision.ts';

/** What refuses a request whose sender has the right: a lock, a rule for tags, a registry that is full. */
export type Hindrance = {
  /** `the repository is locked`, as an explanation names it. */
  readonly by: string;
  /** What it refuses, and what would change that. */
  readonly reason: string;
  readonly remedy: string;
  /** No where it refuses only some of what such a request may be: tags of some names, or the repository as a whole. */
  readonly isCertain: boolean;
};

export type HinderedPlace = {
  readonly registry: Registry;
  readonly repository: RepositoryName;
  /** Undefined where the question names no tag and no manifest. */
  readonly reference: Reference | undefined;
  readonly action: Action;
};

/** Asks whoever keeps the content, which knows rights no more than rights know it. */
export type FindHindrances = (place: HinderedPlace) => Promise<readonly Hindrance[]>;
