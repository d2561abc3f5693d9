import { belongsToImage } from './content-family.ts';
import type { LifecycleAction, LifecycleRule } from './lifecycle-rule.ts';
import {
  type Leaving,
  type LeavingTag,
  type ManifestFacts,
  type PurgeSelection,
  type RepositoryFacts,
  select,
  type TagFacts,
} from './purge-selection.ts';
import { forEach, mapped, type Sliced, sorted } from './sliced.ts';

export type LifecycleMoment = {
  readonly nowMicros: number;
  /** Since when pulls are noted: of earlier ones nothing is known, so they count as having been there. */
  readonly pullsSinceMicros: number;
  readonly freshSinceMicros: number;
};

/** What a rule would delete and another keeps. */
export type Kept = {
  readonly tag: string | undefined;
  readonly digest: string;
  readonly reason: string;
  readonly rule: string | undefined;
};

export type LifecycleSelection = { readonly leaving: PurgeSelection; readonly kept: readonly Kept[] };

/**
 * What lifecycle rules take of one repository: what some rule deletes and no rule keeps, in whatever order the rules stand.
 * Locks and tags that are written once keep what they are on; what belongs together stays together. Pure.
 */
export function* selectLifecycle(
  repository: RepositoryFacts,
  name: string,
  rules: readonly LifecycleRule[],
  moment: LifecycleMoment,
): Sliced<LifecycleSelection> {
  const nothing = { leaving: { tags: [], groups: [] }, kept: [] };
  if (repository.isLocked === true) return nothing;
  const ofRepository = rules.filter((rule) => rule.matchesRepository(name));
  if (!ofRepository.some(({ action }) => action.kind === 'deleteOlder')) return nothing;
  const decisions = new Decisions(repository, ofRepository, moment);
  yield* decisions.prepare();
  const leaving = yield* select(repository, {
    leavingTags: (tags) => mapped(tags, (tag) => decisions.leavingTag(tag)),
    takesManifest: (manifest) => decisions.leavingManifest(manifest),
    freshSinceMicros: moment.freshSinceMicros,
    keepManifests: 0,
    includesLocked: false,
  });
  return { leaving, kept: yield* decisions.kept() };
}

class Decisions {
  readonly #repository: RepositoryFacts;
  readonly #rules: readonly LifecycleRule[];
  readonly #moment: LifecycleMoment;
  /** By rule: the names of its newest tags. */
  readonly #newest = new Map<LifecycleRule, ReadonlySet<string>>();
  readonly #pulledAt = new Map<string, number>();
  readonly #tagged = new Set<string>();
  readonly #byDigest = new Map<string, ManifestFacts>();

  constructor(repository: RepositoryFacts, rules: readonly LifecycleRule[], moment: LifecycleMoment) {
    this.#repository = repository;
    this.#rules = rules;
    this.#moment = moment;
  }

  /** Goes first. */
  *prepare(): Sliced<void> {
    const { tags, manifests } = this.#repository;
    yield* forEach(manifests, (manifest) => {
      const { digest, pulledAtMicros } = manifest;
      this.#byDigest.set(digest, manifest);
      if (pulledAtMicros !== undefined) this.#pulledAt.set(digest, pulledAtMicros);
    });
    yield* forEach(tags, ({ digest }) => this.#tagged.add(digest));
    const ordinary = yield* mapped(tags, (tag) => (belongsToImage(tag, this.#byDigest) ? undefined : tag));
    const byAge = yield* sorted(
      ordinary,
      (a, b) => b.changedAtMicros - a.changedAtMicros || (a.name < b.name ? -1 : 1),
    );
    for (const rule of this.#rules) {
      if (rule.action.kind !== 'keepLast') continue;
      const matching = yield* mapped(byAge, ({ name }) => (rule.matchesTag(name) ? name : undefined));
      this.#newest.set(rule, new Set(matching.slice(0, rule.action.count)));
    }
  }

  leavingTag(tag: TagFacts): LeavingTag | undefined {
    const deleting = this.#deletingTag(tag);
    if (deleting === undefined || this.#keepingTag(tag) !== undefined) return undefined;
    return { tag, ...deleting, pulledBeforeMicros: this.#pulledBefore(tag.name) };
  }

  /** Asked also of manifests that have tags: they leave once those have. */
  leavingManifest(manifest: ManifestFacts): Leaving | undefined {
    const deleting = this.#deletingManifest(manifest);
    if (deleting === undefined || this.#keepingManifest(manifest) !== undefined) return undefined;
    return { ...deleting, pulledBeforeMicros: this.#pulledBefore() };
  }

  /** What rules would delete, were it not for other rules or locks. */
  *kept(): Sliced<Kept[]> {
    const tags = yield* mapped(this.#repository.tags, (tag): Kept | undefined => {
      if (belongsToImage(tag, this.#byDigest) || this.#deletingTag(tag) === undefined) return undefined;
      const keeping = keptByItself(tag) ?? this.#keepingTag(tag);
      return keeping && { tag: tag.name, digest: tag.digest, ...withRule(keeping) };
    });
    const manifests = yield* mapped(this.#repository.manifests, (manifest): Kept | undefined => {
      const { digest } = manifest;
      const isOther = this.#tagged.has(digest) || manifest.subject !== undefined;
      if (isOther || this.#deletingManifest(manifest) === undefined) return undefined;
      const keeping = keptByItself(manifest) ?? this.#keepingManifest(manifest);
      return keeping && { tag: undefined, digest, ...withRule(keeping) };
    });
    return tags.concat(manifests);
  }

  #deletingTag(tag: TagFacts): Leaving | undefined {
    for (const { name, action, matchesTag } of this.#rules) {
      if (action.kind !== 'deleteOlder' || !action.takesTags || !matchesTag(tag.name)) continue;
      if (this.#isOlder(tag, action)) return { rule: name, reason: `not changed for ${action.olderThan}` };
    }
    return undefined;
  }

  #deletingManifest(manifest: ManifestFacts): Leaving | undefined {
    for (const { name, action } of this.#rules) {
      if (action.kind !== 'deleteOlder' || !action.takesUntagged) continue;
      if (this.#isOlder(manifest, action))
        return { rule: name, reason: `without a tag, and not changed for ${action.olderThan}` };
    }
    return undefined;
  }

  #keepingTag(tag: TagFacts): Leaving | undefined {
    const pulledAt = Math.max(tag.pulledAtMicros ?? 0, this.#pulledAt.get(tag.digest) ?? 0);
    for (const rule of this.#rules) {
      const { name, action } = rule;
      if (!rule.matchesTag(tag.name)) continue;
      if (action.kind === 'keepMatching') return { rule: name, reason: 'kept by its name' };
      if (action.kind === 'keepLast' && this.#newest.get(rule)?.has(tag.name) === true)
        return { rule: name, reason: `one of the newest ${action.count}` };
      if (action.kind === 'keepPulled' && this.#isPulled(pulledAt, action))
        return { rule: name, reason: `pulled within ${action.within}` };
    }
    return undefined;
  }

  #keepingManifest({ pulledAtMicros = 0 }: ManifestFacts): Leaving | undefined {
    for (const { name, action } of this.#rules)
      if (action.kind === 'keepPulled' && this.#isPulled(pulledAtMicros, action))
        return { rule: name, reason: `pulled within ${action.within}` };
    return undefined;
  }

  /** Since when a pull keeps it; undefined where none does. */
  #pulledBefore(tag?: string): number | undefined {
    const times = this.#rules.flatMap(({ action, matchesTag }) =>
      action.kind === 'keepPulled' && (tag === undefined || matchesTag(tag)) ? [action.withinMicros] : [],
    );
    return times.length === 0 ? undefined : this.#moment.nowMicros - Math.max(...times);
  }

  #isOlder(
    { changedAtMicros }: TagFacts | ManifestFacts,
    { olderThanMicros }: Extract<LifecycleAction, { kind: 'deleteOlder' }>,
  ): boolean {
    return changedAtMicros < this.#moment.nowMicros - olderThanMicros;
  }

  #isPulled(pulledAtMicros: number, { withinMicros }: Extract<LifecycleAction, { kind: 'keepPulled' }>): boolean {
    const { nowMicros, pullsSinceMicros } = this.#moment;
    return Math.max(pulledAtMicros, pullsSinceMicros) >= nowMicros - withinMicros;
  }
}

function keptByItself({ isLocked, ...facts }: TagFacts | ManifestFacts): Leaving | undefined {
  if ('isImmutable' in facts && facts.isImmutable === true) return { reason: 'written once' };
  return isLocked ? { reason: 'locked' } : undefined;
}

function withRule({ reason, rule }: Leaving) {
  return { reason, rule };
}
