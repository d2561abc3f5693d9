import {
  belongsToImage,
  type Family,
  familyOf,
  isLooseReferrer,
  keepFamilies,
  parentsFirst,
  withReferrers,
} from './content-family.ts';
import { groupsOf } from './leaving-groups.ts';
import { forEach, mapped, type Sliced, sorted } from './sliced.ts';

/** A tag as a purge looks at it. Times are microseconds. */
export type TagFacts = {
  readonly name: string;
  readonly digest: string;
  readonly changedAtMicros: number;
  readonly isLocked: boolean;
  /** It is written once and may not be deleted: no purge takes it, whatever it may unlock. */
  readonly isImmutable?: boolean;
  /** The last time somebody asked for it; undefined when nobody has. */
  readonly pulledAtMicros?: number | undefined;
};

/** A manifest as a purge looks at it. */
export type ManifestFacts = {
  readonly digest: string;
  readonly changedAtMicros: number;
  readonly isLocked: boolean;
  /** What an index lists. */
  readonly children: readonly string[];
  readonly subject: string | undefined;
  readonly pulledAtMicros?: number | undefined;
};

export type RepositoryFacts = {
  readonly tags: readonly TagFacts[];
  readonly manifests: readonly ManifestFacts[];
  /** Nothing in it may be changed. */
  readonly isLocked?: boolean;
};

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

/** `reason` says why in a few words; `rule` names the lifecycle rule that decided. */
export type Leaving = {
  readonly reason: string;
  readonly rule?: string;
  /** Whoever asks for it at or after this moment keeps it. */
  readonly pulledBeforeMicros?: number | undefined;
};
export type LeavingTag = Leaving & { readonly tag: TagFacts };
export type LeavingManifest = Leaving & { readonly manifest: ManifestFacts };

/** A manifest, and what refers to it and leaves with it in the same step: signatures, with the tags cosign gave them. */
export type LeavingGroup = LeavingManifest & {
  readonly tags: readonly LeavingTag[];
  readonly followers: readonly LeavingManifest[];
};

/** What leaves, newest tags first. */
export type PurgeSelection = {
  readonly tags: readonly LeavingTag[];
  /** In an order in which each can leave: an index before its children. */
  readonly groups: readonly LeavingGroup[];
};

/** What rules say of one repository; what belongs together stays together whatever they say. */
export type SelectionRule = {
  /** Of tags that nothing else keeps, newest first: which of them leave. */
  readonly leavingTags: (tags: readonly TagFacts[]) => Sliced<readonly LeavingTag[]>;
  /** Why a manifest may leave once it has no tag; undefined when it stays. */
  readonly takesManifest: (manifest: ManifestFacts) => Leaving | undefined;
  readonly freshSinceMicros: number;
  /** So many of the newest manifests that could leave stay. */
  readonly keepManifests: number;
  readonly includesLocked: boolean;
};

/**
 * What a purge of one repository takes. As `acr purge`, and safer where that loses content: an index that stays, locked ones
 * included, keeps all its children; an image that stays keeps its signatures and SBOMs, also those under cosign's tags.
 * Pure: a dry run and a run on the same content take the same. Source: ACR Tasks reference, "acr purge".
 */
export function* selectPurge(repository: RepositoryFacts, rule: PurgeRule): Sliced<PurgeSelection> {
  const { matchesTag, beforeMicros, keep } = rule;
  return yield* select(repository, {
    ...rule,
    keepManifests: keep,
    leavingTags: function* (tags) {
      const matching = yield* mapped(tags, (tag) =>
        tag.changedAtMicros < beforeMicros && matchesTag?.(tag.name) === true ? tag : undefined,
      );
      return yield* mapped(matching.slice(keep), (tag) => ({
        tag,
        reason: `matches and is old enough${suffixOf(tag, keep)}`,
      }));
    },
    takesManifest: (manifest) =>
      rule.takesUntagged && manifest.changedAtMicros < beforeMicros
        ? { reason: `without a tag and old enough${suffixOf(manifest, keep)}` }
        : undefined,
  });
}

function suffixOf({ isLocked }: { readonly isLocked: boolean }, keep: number): string {
  return `${keep > 0 ? `, beyond the ${keep} kept` : ''}${isLocked ? ', unlocked' : ''}`;
}

/** The one way from rules to what leaves. Pure. */
export function* select({ tags, manifests }: RepositoryFacts, rule: SelectionRule): Sliced<PurgeSelection> {
  const family = yield* familyOf(manifests, tags);
  const mayLeave = (tag: TagFacts) => tag.isImmutable !== true && (rule.includesLocked || !tag.isLocked);
  const ofImages: TagFacts[] = [];
  const ordinary: TagFacts[] = [];
  yield* forEach(tags, (tag) => (belongsToImage(tag, family.byDigest) ? ofImages : ordinary).push(tag));
  const free = yield* mapped(ordinary, (tag) => (mayLeave(tag) ? tag : undefined));
  const leavingTags = yield* rule.leavingTags(yield* sorted(free, newestFirst));
  const gone = new Set<string>();
  yield* forEach(leavingTags, ({ tag }) => gone.add(tag.name));
  // A signature is not held by cosign's tag on it, but by its image; nor is an image by its own signatures.
  const tagged = new Set<string>();
  yield* forEach(ordinary, ({ name, digest }) => gone.has(name) || tagged.add(digest));
  yield* forEach(ofImages, (tag) => mayLeave(tag) || tagged.add(tag.digest));
  const leaving = yield* leavingManifests({ tags, manifests }, { family, tagged, rule });
  const groups = yield* groupsOf(leaving, {
    manifests,
    family,
    tagged,
    cosignTags: yield* mapped(ofImages, (tag) => (mayLeave(tag) ? tag : undefined)),
    reasonOf: rule.takesManifest,
  });
  return { tags: leavingTags, groups };
}

type Tagged = { readonly family: Family; readonly tagged: ReadonlySet<string>; readonly rule: SelectionRule };

function* leavingManifests(
  { tags, manifests }: RepositoryFacts,
  { family, tagged, rule }: Tagged,
): Sliced<ManifestFacts[]> {
  const hadTag = new Set<string>();
  yield* forEach(tags, ({ digest }) => hadTag.add(digest));
  const isFresh = ({ digest, changedAtMicros }: ManifestFacts) =>
    !hadTag.has(digest) && changedAtMicros >= rule.freshSinceMicros;
  const stays = (manifest: ManifestFacts) =>
    tagged.has(manifest.digest) ||
    (manifest.isLocked && !rule.includesLocked) ||
    rule.takesManifest(manifest) === undefined ||
    isFresh(manifest);
  const staying = yield* mapped(manifests, (manifest) =>
    stays(manifest) || isLooseReferrer(manifest, family) ? manifest : undefined,
  );
  const kept = new Set<string>();
  yield* keepFamilies(staying, family, kept);
  const isKept = ({ digest }: ManifestFacts) => kept.has(digest);
  const free = yield* mapped(manifests, (manifest) => (isKept(manifest) ? undefined : manifest));
  const candidates = yield* sorted(free, newestFirst);
  yield* keepFamilies(candidates.slice(0, rule.keepManifests), family, kept);
  const parts = new Set<string>();
  yield* forEach(manifests, ({ children }) => {
    for (const child of children) parts.add(child);
  });
  const isHeld = (each: ManifestFacts) => tagged.has(each.digest) || each.isLocked || parts.has(each.digest);
  const left = yield* mapped(candidates, (manifest) => (isKept(manifest) ? undefined : manifest));
  return yield* parentsFirst(yield* withReferrers(left, family, isHeld));
}

function newestFirst(a: TagFacts | ManifestFacts, b: TagFacts | ManifestFacts): number {
  return b.changedAtMicros - a.changedAtMicros || (keyOf(a) < keyOf(b) ? -1 : 1);
}

function keyOf(facts: TagFacts | ManifestFacts): string {
  return 'name' in facts ? facts.name : facts.digest;
}
