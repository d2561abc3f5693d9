import type { RepositoryName } from '../../core/repository-name.ts';

/** Where content is: a repository of a registry, which need not exist yet. */
export type Place = {
  readonly registryUid: string;
  readonly repository: RepositoryName;
};
