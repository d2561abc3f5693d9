/** A tag as a purge looks at it. Times are microseconds. */
export type TagFacts = {
  readonly name: string;
  readonly digest: string;
  readonly changedAtMicros: number;
  readonly isLocked: boolean;
};

/** A manifest as a purge looks at it. */
export type ManifestFacts = {
  readonly digest: string;
  readonly changedAtMicros: number;
  readonly isLocked: boolean;
  /** What an index lists. */
  readonly children: readonly string[];
  readonly subject: string | undefined;
};

export type RepositoryFacts = { readonly tags: readonly TagFacts[]; readonly manifests: readonly ManifestFacts[] };

export type PurgeRule = {
  /** Which tags may leave; undefined touches none. */
  readonly matchesTag: ((name: string) => boolean) | undefined;
  /** Whether manifests without tags leave too. */
  readonly takesUntagged: boolean;
  /** Only what changed before this moment leaves. */
  readonly beforeMicros: number;
  /** A manifest that never had a tag stays if it is younger: its tag or index may be under way. */
  readonly freshSinceMicros: number;
  /** So many of the newest that could leave stay: tags, and manifests again by themselves. */
  readonly keep: number;
  readonly includesLocked: boolean;
};

/** What leaves, newest tags first; `reason` says why in a few words. */
export type PurgeSelection = {
  readonly tags: readonly { readonly tag: TagFacts; readonly reason: string }[];
  /** In an order in which each can leave: an index before its children. */
  readonly manifests: readonly { readonly manifest: ManifestFacts; readonly reason: string }[];
};

/**
 * What a purge of one repository takes. As `acr purge`, and safer where that loses content: an index that stays, locked ones
 * included, keeps all its children; an image that stays keeps its signatures and SBOMs, also those under cosign's tags.
 * Pure: a dry run and a run on the same content take the same. Source: ACR Tasks reference, "acr purge".
 */
export function selectPurge(repository: RepositoryFacts, rule: PurgeRule): PurgeSelection {
  const byDigest = new Map(repository.manifests.map((manifest) => [manifest.digest, manifest]));
  const eligible = eligibleTags(repository.tags, rule);
  const ordinary = eligible.filter(({ name }) => !byDigest.has(cosignSubject(name) ?? ''));
  const leaving = new Set(ordinary.slice(rule.keep).map((tag) => tag.name));
  const manifestsAfter = (gone: ReadonlySet<string>) =>
    rule.takesUntagged ? selectManifests(repository, gone, rule) : [];
  // A signature's tag leaves once the image it belongs to does, which other tags decide.
  const lost = new Set(manifestsAfter(withCosignTags(repository.tags, leaving, byDigest)).map(({ digest }) => digest));
  for (const { name } of eligible) if (lost.has(cosignSubject(name) ?? '')) leaving.add(name);
  return {
    tags: eligible.filter(({ name }) => leaving.has(name)).map((tag) => ({ tag, reason: tagReason(tag, rule, lost) })),
    manifests: manifestsAfter(leaving).map((manifest) => ({ manifest, reason: manifestReason(manifest, rule) })),
  };
}

/** The manifest a tag of cosign belongs to: `sha256-<hex>.sig`, `.att` or `.sbom`. */
export function cosignSubject(tag: string): string | undefined {
  const match = /^(sha256|sha512)-([0-9a-f]{64,128})\.(?:sig|att|sbom)$/.exec(tag);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

/** Newest first: matching, old enough, not locked. */
function eligibleTags(tags: readonly TagFacts[], rule: PurgeRule): TagFacts[] {
  const { matchesTag, beforeMicros, includesLocked } = rule;
  if (matchesTag === undefined) return [];
  return tags
    .filter((tag) => tag.changedAtMicros < beforeMicros && (includesLocked || !tag.isLocked) && matchesTag(tag.name))
    .toSorted((a, b) => b.changedAtMicros - a.changedAtMicros || (a.name < b.name ? -1 : 1));
}

/** Those that leave, and every tag of cosign: an image is not held by its own signatures. */
function withCosignTags(
  tags: readonly TagFacts[],
  leaving: ReadonlySet<string>,
  byDigest: ReadonlyMap<string, ManifestFacts>,
): ReadonlySet<string> {
  const cosign = tags.filter(({ name }) => byDigest.has(cosignSubject(name) ?? '')).map(({ name }) => name);
  return new Set([...leaving, ...cosign]);
}

function selectManifests(
  { tags, manifests }: RepositoryFacts,
  goneTags: ReadonlySet<string>,
  rule: PurgeRule,
): ManifestFacts[] {
  const tagged = new Set(tags.filter(({ name }) => !goneTags.has(name)).map(({ digest }) => digest));
  const hadTag = new Set(tags.map(({ digest }) => digest));
  const isFresh = ({ digest, changedAtMicros }: ManifestFacts) =>
    !hadTag.has(digest) && changedAtMicros >= rule.freshSinceMicros;
  const stays = (manifest: ManifestFacts) =>
    tagged.has(manifest.digest) ||
    (manifest.isLocked && !rule.includesLocked) ||
    manifest.changedAtMicros >= rule.beforeMicros ||
    isFresh(manifest);
  const family = familyOf(manifests);
  const kept = closure(manifests.filter(stays), family);
  for (const manifest of manifests) if (isLooseReferrer(manifest, family)) keep(manifest, family, kept);
  const candidates = manifests.filter(({ digest }) => !kept.has(digest)).toSorted(newestFirst);
  for (const manifest of candidates.slice(0, rule.keep)) keep(manifest, family, kept);
  const leaving = parentsFirst(candidates.filter(({ digest }) => !kept.has(digest)));
  const parts = new Set(manifests.flatMap(({ children }) => children));
  return withReferrers(leaving, family, (each) => tagged.has(each.digest) || each.isLocked || parts.has(each.digest));
}

/** What refers to something that leaves goes with it whatever its age, and before it; what is held by more stays. */
function withReferrers(
  leaving: readonly ManifestFacts[],
  { referrers }: Family,
  isHeld: (manifest: ManifestFacts) => boolean,
): ManifestFacts[] {
  const ordered = new Set<ManifestFacts>();
  const visit = (manifest: ManifestFacts): void => {
    if (ordered.has(manifest)) return;
    for (const referrer of referrers.get(manifest.digest) ?? []) if (!isHeld(referrer)) visit(referrer);
    ordered.add(manifest);
  };
  for (const manifest of leaving) visit(manifest);
  return [...ordered];
}

type Family = {
  readonly byDigest: ReadonlyMap<string, ManifestFacts>;
  readonly referrers: ReadonlyMap<string, readonly ManifestFacts[]>;
};

function familyOf(manifests: readonly ManifestFacts[]): Family {
  return {
    byDigest: new Map(manifests.map((manifest) => [manifest.digest, manifest])),
    referrers: Map.groupBy(
      manifests.filter((manifest) => manifest.subject !== undefined),
      (manifest) => manifest.subject ?? '',
    ),
  };
}

/** Its subject is not here, or not yet: it is left alone, as ACR leaves it. */
function isLooseReferrer({ subject }: ManifestFacts, { byDigest }: Family): boolean {
  return subject !== undefined && !byDigest.has(subject);
}

function closure(roots: readonly ManifestFacts[], family: Family): Set<string> {
  const kept = new Set<string>();
  for (const root of roots) keep(root, family, kept);
  return kept;
}

/** With what it lists and what refers to it, however deep. */
function keep(root: ManifestFacts, family: Family, kept: Set<string>): void {
  const waiting = [root];
  for (let manifest = waiting.pop(); manifest !== undefined; manifest = waiting.pop()) {
    if (kept.has(manifest.digest)) continue;
    kept.add(manifest.digest);
    for (const child of manifest.children) {
      const found = family.byDigest.get(child);
      if (found !== undefined) waiting.push(found);
    }
    waiting.push(...(family.referrers.get(manifest.digest) ?? []));
  }
}

/** An index is deleted before what it lists, which is refused otherwise. */
function parentsFirst(manifests: readonly ManifestFacts[]): ManifestFacts[] {
  const left = new Map(manifests.map((manifest) => [manifest.digest, manifest]));
  const parents = new Map<string, number>();
  for (const { children } of manifests)
    for (const child of new Set(children)) if (left.has(child)) parents.set(child, (parents.get(child) ?? 0) + 1);
  const ready = manifests.filter(({ digest }) => !parents.has(digest));
  for (const manifest of ready) {
    for (const child of new Set(manifest.children)) {
      const count = (parents.get(child) ?? 0) - 1;
      parents.set(child, count);
      const found = left.get(child);
      if (count === 0 && found !== undefined) ready.push(found);
    }
  }
  return ready;
}

function newestFirst(a: ManifestFacts, b: ManifestFacts): number {
  return b.changedAtMicros - a.changedAtMicros || (a.digest < b.digest ? -1 : 1);
}

function tagReason({ name, isLocked }: TagFacts, rule: PurgeRule, lost: ReadonlySet<string>): string {
  if (lost.has(cosignSubject(name) ?? '')) return 'belongs to an image that leaves';
  return `matches and is old enough${rule.keep > 0 ? `, beyond the ${rule.keep} kept` : ''}${isLocked ? ', unlocked' : ''}`;
}

function manifestReason({ subject, isLocked }: ManifestFacts, rule: PurgeRule): string {
  if (subject !== undefined) return 'refers to an image that leaves';
  return `without a tag and old enough${rule.keep > 0 ? `, beyond the ${rule.keep} kept` : ''}${isLocked ? ', unlocked' : ''}`;
}
