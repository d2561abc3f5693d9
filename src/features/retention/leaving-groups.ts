import { cosignSubject } from '../content/cosign-tags.ts';
import type { Family } from './content-family.ts';
import type { Leaving, LeavingGroup, LeavingManifest, LeavingTag, ManifestFacts, TagFacts } from './purge-selection.ts';
import { forEach, mapped, type Sliced } from './sliced.ts';

export type GroupingParts = {
  readonly manifests: readonly ManifestFacts[];
  readonly family: Family;
  /** Tags of cosign that may leave with what they belong to. */
  readonly cosignTags: readonly TagFacts[];
  /** Digests under tags that stay. */
  readonly tagged: ReadonlySet<string>;
  readonly reasonOf: (manifest: ManifestFacts) => Leaving | undefined;
};

/**
 * Plays through what deletions do with manifests in this order: each takes along what refers to it and is held by nothing
 * else then, as `Deletion.referrers` says, so that a preview lists what a run takes, step by step.
 */
export function* groupsOf(ordered: readonly ManifestFacts[], parts: GroupingParts): Sliced<LeavingGroup[]> {
  const play = new Play(parts);
  yield* play.prepare();
  const { subjects } = parts.family;
  // An image before what refers to it: if it stays after all, so does that.
  const images = yield* mapped(ordered, (manifest) => (subjects.has(manifest.digest) ? undefined : manifest));
  const groups = yield* mapped(images, (manifest) => play.group(manifest));
  while (true) {
    const more = yield* mapped(ordered, (manifest) => play.group(manifest));
    if (more.length === 0) return groups;
    for (const group of more) groups.push(group);
  }
}

class Play {
  readonly #parts: GroupingParts;
  readonly #gone = new Set<string>();
  /** How many indexes that are still there list a manifest. */
  readonly #indexes = new Map<string, number>();
  readonly #tagsOfSubject = new Map<string, TagFacts[]>();
  /** How many tags of cosign are still on a manifest. */
  readonly #cosignTags = new Map<string, number>();

  constructor(parts: GroupingParts) {
    this.#parts = parts;
  }

  /** Goes first. */
  *prepare(): Sliced<void> {
    yield* forEach(this.#parts.manifests, ({ children }) => {
      for (const child of new Set(children)) add(this.#indexes, child, 1);
    });
    yield* forEach(this.#parts.cosignTags, (tag) => {
      add(this.#cosignTags, tag.digest, 1);
      const subject = cosignSubject(tag.name) ?? '';
      const known = this.#tagsOfSubject.get(subject);
      if (known === undefined) this.#tagsOfSubject.set(subject, [tag]);
      else known.push(tag);
    });
  }

  /** Undefined for what is gone already, or goes with something later. */
  group(manifest: ManifestFacts): LeavingGroup | undefined {
    const { digest } = manifest;
    if (this.#gone.has(digest) || this.#isListed(digest) || this.#isTagged(digest)) return undefined;
    const decision = this.#parts.reasonOf(manifest) ?? { reason: alongReason };
    const rule = decision.rule === undefined ? {} : { rule: decision.rule };
    const tags: LeavingTag[] = [];
    const followers: LeavingManifest[] = [];
    this.#take(manifest);
    // The next one is the last.
    const subjects = [digest];
    for (let subject = subjects.pop(); subject !== undefined; subject = subjects.pop()) {
      const { taken, along } = this.#referrersOf(subject);
      for (const tag of taken) tags.push({ tag, reason: 'belongs to an image that leaves', ...rule });
      for (const each of along) followers.push({ manifest: each, reason: alongReason, ...rule });
      for (const each of along.toReversed()) subjects.push(each.digest);
    }
    return { manifest, ...decision, tags, followers };
  }

  #referrersOf(subject: string) {
    const { family } = this.#parts;
    const taken = this.#tagsOfSubject.get(subject) ?? [];
    for (const tag of taken) add(this.#cosignTags, tag.digest, -1);
    const under = [...new Set(taken.map(({ digest }) => digest))].flatMap(
      (digest) => family.byDigest.get(digest) ?? [],
    );
    const signatures = under.filter((each) => this.#isLoose(each));
    for (const each of signatures) this.#take(each);
    const referrers = (family.referrers.get(subject) ?? []).filter(
      (each) => each.subject === subject && this.#isLoose(each),
    );
    for (const each of referrers) this.#take(each);
    return { taken, along: [...signatures, ...referrers] };
  }

  #isLoose({ digest, isLocked }: ManifestFacts): boolean {
    return !this.#gone.has(digest) && !isLocked && !this.#isListed(digest) && !this.#isTagged(digest);
  }

  #isListed(digest: string): boolean {
    return (this.#indexes.get(digest) ?? 0) > 0;
  }

  #isTagged(digest: string): boolean {
    return this.#parts.tagged.has(digest) || (this.#cosignTags.get(digest) ?? 0) > 0;
  }

  #take({ digest, children }: ManifestFacts): void {
    this.#gone.add(digest);
    for (const child of new Set(children)) add(this.#indexes, child, -1);
  }
}

const alongReason = 'refers to an image that leaves';

function add(counts: Map<string, number>, key: string, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}
