import { cosignSubject } from '../content/cosign-tags.ts';
import type { ManifestFacts, TagFacts } from './purge-selection.ts';
import { forEach, mapped, type Sliced } from './sliced.ts';

/** How the manifests of a repository belong together. */
export type Family = {
  readonly byDigest: ReadonlyMap<string, ManifestFacts>;
  /** What refers to each: by its subject, or under a tag of cosign. */
  readonly referrers: ReadonlyMap<string, readonly ManifestFacts[]>;
  /** The other way: what each refers to and is here. One manifest may lie under cosign's tags of several images. */
  readonly subjects: ReadonlyMap<string, ReadonlySet<string>>;
};

export function* familyOf(manifests: readonly ManifestFacts[], tags: readonly TagFacts[]): Sliced<Family> {
  const byDigest = new Map<string, ManifestFacts>();
  yield* forEach(manifests, (manifest) => byDigest.set(manifest.digest, manifest));
  const referrers = new Map<string, Set<ManifestFacts>>();
  const subjects = new Map<string, Set<string>>();
  const add = (subject: string, manifest: ManifestFacts): void => {
    setIn(referrers, subject).add(manifest);
    if (byDigest.has(subject)) setIn(subjects, manifest.digest).add(subject);
  };
  yield* forEach(manifests, (manifest) => {
    if (manifest.subject !== undefined) add(manifest.subject, manifest);
  });
  yield* forEach(tags, ({ name, digest }) => {
    const subject = cosignSubject(name);
    const manifest = byDigest.get(digest);
    if (subject !== undefined && subject !== digest && manifest !== undefined && byDigest.has(subject))
      add(subject, manifest);
  });
  const listed = new Map<string, readonly ManifestFacts[]>();
  yield* forEach(referrers, ([subject, some]) => listed.set(subject, [...some]));
  return { byDigest, subjects, referrers: listed };
}

function setIn<T>(sets: Map<string, Set<T>>, key: string): Set<T> {
  const known = sets.get(key);
  if (known !== undefined) return known;
  const made = new Set<T>();
  sets.set(key, made);
  return made;
}

/** The tag is cosign's, and what it belongs to is here. */
export function belongsToImage({ name, digest }: TagFacts, byDigest: Family['byDigest']): boolean {
  const subject = cosignSubject(name);
  return subject !== undefined && subject !== digest && byDigest.has(subject);
}

/** Its subject is not here, or not yet. */
export function isLooseReferrer({ subject }: ManifestFacts, { byDigest }: Family): boolean {
  return subject !== undefined && !byDigest.has(subject);
}

/** Adds manifests with what they list and what refers to them, however deep. */
export function* keepFamilies(roots: readonly ManifestFacts[], family: Family, kept: Set<string>): Sliced<void> {
  const waiting = [...roots];
  yield* forEach(drained(waiting), (manifest) => {
    if (kept.has(manifest.digest)) return;
    kept.add(manifest.digest);
    for (const child of manifest.children) {
      const found = family.byDigest.get(child);
      if (found !== undefined) waiting.push(found);
    }
    for (const referrer of family.referrers.get(manifest.digest) ?? []) waiting.push(referrer);
  });
}

/** The last one first, also of those that are added meanwhile. */
function* drained<T>(waiting: T[]): Generator<T> {
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) yield next;
}

/** Those that leave, and what refers to them and is held by nothing else, whatever its age. */
export function* withReferrers(
  leaving: readonly ManifestFacts[],
  { referrers, subjects }: Family,
  isHeld: (manifest: ManifestFacts) => boolean,
): Sliced<readonly ManifestFacts[]> {
  const all = new Map<string, ManifestFacts>();
  yield* forEach(leaving, (manifest) => all.set(manifest.digest, manifest));
  const waiting = [...leaving];
  yield* forEach(drained(waiting), (manifest) => {
    for (const referrer of referrers.get(manifest.digest) ?? []) {
      const { digest } = referrer;
      if (all.has(digest) || isHeld(referrer)) continue;
      if (![...(subjects.get(digest) ?? [])].every((subject) => all.has(subject))) continue;
      all.set(digest, referrer);
      waiting.push(referrer);
    }
  });
  return [...all.values()];
}

/** An index is deleted before what it lists, which is refused otherwise. */
export function* parentsFirst(manifests: readonly ManifestFacts[]): Sliced<ManifestFacts[]> {
  const left = new Map<string, ManifestFacts>();
  yield* forEach(manifests, (manifest) => left.set(manifest.digest, manifest));
  const parents = new Map<string, number>();
  yield* forEach(manifests, ({ children }) => {
    for (const child of new Set(children)) if (left.has(child)) parents.set(child, (parents.get(child) ?? 0) + 1);
  });
  const ready = yield* mapped(manifests, (manifest) => (parents.has(manifest.digest) ? undefined : manifest));
  yield* forEach(ready, (manifest) => {
    for (const child of new Set(manifest.children)) {
      const count = (parents.get(child) ?? 0) - 1;
      parents.set(child, count);
      const found = left.get(child);
      if (count === 0 && found !== undefined) ready.push(found);
    }
  });
  return ready;
}
