import type { Sku } from '../registries/registry.ts';
import type { Locks } from './attributes.ts';
import type { Place } from './place.ts';

/** What a change goes by: columns of the registry, and of the repository where it exists. */
export type RepositoryFacts = {
  readonly sku: Sku;
  readonly storageLimitBytes: number | null;
  readonly immutableTags: string;
  readonly retentionDays: number | null;
  readonly keepsDeleted: number;
  readonly repositoryUid: string | null;
  readonly locks: Locks | null;
  readonly ownImmutableTags: string | null;
  readonly changedAt: number | null;
};

/** For a query that begins with `fromRepository`. */
export const factColumns = [
  'g.sku',
  'g.storage_limit as storageLimitBytes',
  'g.immutable_tags as immutableTags',
  'g.retention_days as retentionDays',
  'g.keeps_deleted as keepsDeleted',
  'r.uid as repositoryUid',
  'r.locks',
  'r.immutable_tags as ownImmutableTags',
  // Deletions in slices change it as they begin: no push goes by a time from before that.
  'r.changed_at as changedAt',
] as const;

/** So many are kept: what a busy server changes again and again. */
const most = 2_000;
/** Rules may be long, and each repository has its own copy. */
const longestRules = 2_000;

/** What was last read of each repository that was changed lately. It may be otherwise by now. */
export class RecentRepositories {
  readonly #known = new Map<string, RepositoryFacts>();

  find(place: Place): RepositoryFacts | undefined {
    return this.#known.get(keyOf(place));
  }

  /** Without `facts` it is read anew. */
  keep(place: Place, facts: RepositoryFacts | undefined): void {
    const key = keyOf(place);
    this.#known.delete(key);
    if (facts === undefined || facts.immutableTags.length + (facts.ownImmutableTags?.length ?? 0) > longestRules)
      return;
    this.#known.set(key, facts);
    const [oldest] = this.#known.keys();
    if (this.#known.size > most && oldest !== undefined) this.#known.delete(oldest);
  }
}

function keyOf({ registryUid, repository }: Place): string {
  return `${registryUid}/${repository}`;
}
