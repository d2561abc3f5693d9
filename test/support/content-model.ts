import { cosignTags } from '../../src/features/content/cosign-tags.ts';
import type { SampleBlob, SampleManifest } from './oci-samples.ts';

export type ModelManifest = {
  readonly manifest: SampleManifest;
  readonly blobs: readonly SampleBlob[];
  readonly children: readonly string[];
  readonly subject: string | undefined;
};

const dayMs = 86_400_000;
const hourMs = 3_600_000;

/** What one repository should hold after what was done to it: simple enough to be believed. Times are milliseconds. */
export class RepositoryModel {
  readonly known = new Map<string, ModelManifest>();
  readonly live = new Set<string>();
  readonly locked = new Set<string>();
  readonly tags = new Map<string, string>();
  /** Deleted and kept, by digest: when. */
  readonly kept = new Map<string, number>();
  readonly keptTags = new Map<string, { readonly tag: string; readonly digest: string; readonly atMs: number }>();
  /** Since when manifests may be without a tag. */
  readonly marks = new Map<string, number>();
  readonly #keepsDeleted: boolean;

  constructor(keepsDeleted: boolean) {
    this.#keepsDeleted = keepsDeleted;
  }

  /** Changes of it leave this one as it is. */
  copy(): RepositoryModel {
    const copy = new RepositoryModel(this.#keepsDeleted);
    copyEntries(this.known, copy.known);
    copyEntries(this.tags, copy.tags);
    copyEntries(this.kept, copy.kept);
    copyEntries(this.keptTags, copy.keptTags);
    copyEntries(this.marks, copy.marks);
    for (const name of ['live', 'locked'] as const) for (const digest of this[name]) copy[name].add(digest);
    return copy;
  }

  /** Everything that rows of the database tell too, as lines in an order of their own. */
  lines(): readonly string[] {
    return [
      ...[...this.live].map((digest) => `manifest ${digest}${this.locked.has(digest) ? ' locked' : ''}`),
      ...[...this.tags].map(([tag, digest]) => `tag ${tag} ${digest}`),
      ...[...this.kept].map(([digest, atMs]) => `kept manifest ${digest} ${atMs}`),
      ...[...this.keptTags].map(([key, { atMs }]) => `kept tag ${key} ${atMs}`),
      ...[...this.marks].map(([digest, sinceMs]) => `mark ${digest} ${sinceMs}`),
      `bytes in use ${this.#bytesInUse()}`,
    ].toSorted();
  }

  /** Whether neither a lock, nor a tag, nor an index holds it. */
  isLoose(digest: string): boolean {
    return !this.locked.has(digest) && !this.isTagged(digest) && !this.#isChild(digest);
  }

  push(entry: ModelManifest, tag: string | undefined, nowMs: number): void {
    const { digest } = entry.manifest;
    this.known.set(digest, entry);
    this.live.add(digest);
    // Its tag or its index may be under way: the period begins a grace later.
    if (tag !== undefined) this.#point(tag, digest, nowMs);
    else if (!this.#hasSubject(digest)) this.#mark(digest, nowMs + dayMs);
  }

  /** False where a lock keeps it. */
  untag(tag: string, nowMs: number): void {
    const digest = this.tags.get(tag);
    if (digest === undefined) return;
    this.tags.delete(tag);
    this.#keepTag(tag, digest, nowMs);
    this.#mark(digest, nowMs);
  }

  /** What keeps a manifest from being deleted. */
  refusal(digest: string): 'contentLocked' | 'manifestReferenced' | undefined {
    if (this.locked.has(digest)) return 'contentLocked';
    return this.#isChild(digest) ? 'manifestReferenced' : undefined;
  }

  /** With what refers to it and is there for nothing else. */
  remove(digest: string, nowMs: number): void {
    this.#drop(digest, nowMs);
    const subjects = [digest];
    for (let subject = subjects.pop(); subject !== undefined; subject = subjects.pop()) {
      const signatures = this.#untagCosign(subject, nowMs);
      for (const referrer of [...this.live]) {
        if (this.known.get(referrer)?.subject !== subject && !signatures.has(referrer)) continue;
        if (this.locked.has(referrer) || this.isTagged(referrer) || this.#isChild(referrer)) continue;
        this.#drop(referrer, nowMs);
        subjects.push(referrer);
      }
    }
  }

  /** Answers what the tags pointed at. */
  #untagCosign(subject: string, nowMs: number): ReadonlySet<string> {
    const pointed = new Set<string>();
    if (this.live.has(subject)) return pointed;
    for (const tag of cosignTags(subject)) {
      const digest = this.tags.get(tag);
      if (digest === undefined) continue;
      this.untag(tag, nowMs);
      pointed.add(digest);
    }
    return pointed;
  }

  /** What the policy for manifests without a tag looks at, of seven days; in its order. */
  due(nowMs: number): readonly (readonly [digest: string, sinceMs: number])[] {
    return [...this.marks].filter(([, since]) => since <= nowMs - 7 * dayMs).toSorted(([, a], [, b]) => a - b);
  }

  retain(digest: string, sinceMs: number, nowMs: number): void {
    if (this.marks.get(digest) !== sinceMs) return;
    if (this.isTagged(digest) || this.#isChild(digest) || this.#hasSubject(digest)) this.marks.delete(digest);
    else if (this.locked.has(digest)) this.marks.set(digest, nowMs - 7 * dayMs + hourMs);
    else this.remove(digest, nowMs);
  }

  /** What a restore brings back in one step before the manifest itself: what it lists, as far as that is kept and not served. */
  keptParts(digest: string): readonly string[] {
    const parts = new Set<string>();
    const found = [digest];
    for (let index = found.pop(); index !== undefined; index = found.pop()) {
      if (parts.has(index) || this.live.has(index) || !this.kept.has(index)) continue;
      parts.add(index);
      for (const child of this.known.get(index)?.children ?? []) found.push(child);
    }
    parts.delete(digest);
    return [...parts];
  }

  /** Whether all that it lists is served. */
  isWhole(digest: string): boolean {
    return this.known.get(digest)?.children.every((child) => this.live.has(child)) === true;
  }

  /** One that is served stays as it is. False where it is not kept either. */
  putBack(digest: string): boolean {
    if (this.live.has(digest)) return true;
    if (!this.kept.delete(digest)) return false;
    this.live.add(digest);
    return true;
  }

  /** What a restore does with the manifest itself when it is back. */
  settle(digest: string, tag: string | undefined, nowMs: number): void {
    if (tag === undefined) {
      this.#mark(digest, nowMs);
      return;
    }
    const held = this.tags.get(tag);
    if (held !== undefined && held !== digest) this.keptTags.set(`${tag} ${held}`, { tag, digest: held, atMs: nowMs });
    this.#point(tag, digest, nowMs);
    this.keptTags.delete(`${tag} ${digest}`);
  }

  /** What is kept, not served, and refers to one of these. */
  keptReferrers(subjects: readonly string[]): readonly string[] {
    const refersToOne = (digest: string) => subjects.includes(this.known.get(digest)?.subject ?? '');
    return [...this.kept.keys()].filter((digest) => !this.live.has(digest) && refersToOne(digest));
  }

  /** What tags of cosign pointed at that are kept and free now. */
  keptSignatures(subjects: readonly string[]): readonly { readonly tag: string; readonly digest: string }[] {
    return subjects
      .flatMap(cosignTags)
      .map((tag) => ({ tag, digest: this.#keptUnder(tag) }))
      .flatMap(({ tag, digest }) => (digest === undefined ? [] : [{ tag, digest }]));
  }

  /** What has been kept for seven days. */
  past(nowMs: number): readonly (readonly [digest: string, atMs: number])[] {
    return [...this.kept].filter(([, atMs]) => atMs <= nowMs - 7 * dayMs);
  }

  dropPastTags(nowMs: number): void {
    for (const [key, { atMs }] of this.keptTags) if (atMs <= nowMs - 7 * dayMs) this.keptTags.delete(key);
  }

  /** What a free tag pointed at last, where that can be had. */
  #keptUnder(name: string): string | undefined {
    if (this.tags.has(name)) return undefined;
    const kept = [...this.keptTags.values()].filter(
      ({ tag, digest }) => tag === name && (this.live.has(digest) || this.kept.has(digest)),
    );
    return kept.toSorted((a, b) => a.atMs - b.atMs || (a.digest < b.digest ? -1 : 1)).at(-1)?.digest;
  }

  #drop(digest: string, nowMs: number): void {
    this.live.delete(digest);
    this.marks.delete(digest);
    for (const [tag, held] of [...this.tags]) {
      if (held !== digest) continue;
      this.tags.delete(tag);
      this.#keepTag(tag, digest, nowMs);
    }
    if (this.#keepsDeleted) this.kept.set(digest, nowMs);
    for (const child of this.known.get(digest)?.children ?? []) this.#mark(child, nowMs);
    // What refers to it leaves too, or is locked, and by itself from now on.
    for (const locked of this.locked) if (this.known.get(locked)?.subject === digest) this.#mark(locked, nowMs);
  }

  #point(tag: string, digest: string, nowMs: number): void {
    const previous = this.tags.get(tag);
    this.tags.set(tag, digest);
    if (previous !== undefined && previous !== digest) this.#mark(previous, nowMs);
  }

  #keepTag(tag: string, digest: string, atMs: number): void {
    if (this.#keepsDeleted) this.keptTags.set(`${tag} ${digest}`, { tag, digest, atMs });
  }

  #mark(digest: string, nowMs: number): void {
    if (this.live.has(digest)) this.marks.set(digest, nowMs);
  }

  #hasSubject(digest: string): boolean {
    return this.live.has(this.known.get(digest)?.subject ?? '');
  }

  #bytesInUse(): number {
    const held = [...this.live, ...this.kept.keys()].flatMap((digest) => this.known.get(digest) ?? []);
    const blobs = new Set(held.flatMap((entry) => entry.blobs));
    const sizes = [...held.map((entry) => entry.manifest), ...blobs].map(({ bytes }) => bytes.length);
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  isTagged(digest: string): boolean {
    return [...this.tags.values()].includes(digest);
  }

  #isChild(digest: string): boolean {
    return [...this.live].some((parent) => this.known.get(parent)?.children.includes(digest) === true);
  }
}

function copyEntries<Key, Value>(from: ReadonlyMap<Key, Value>, to: Map<Key, Value>): void {
  for (const [key, value] of from) to.set(key, value);
}
