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

  push(entry: ModelManifest, tag: string | undefined, nowMs: number): void {
    const { digest } = entry.manifest;
    this.known.set(digest, entry);
    this.live.add(digest);
    // Its tag or its index may be under way: the period begins a grace later.
    if (tag === undefined) this.#mark(digest, nowMs + dayMs);
    else this.#point(tag, digest, nowMs);
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
        if (this.locked.has(referrer) || this.#isTagged(referrer) || this.#isChild(referrer)) continue;
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

  /** The policy for manifests without a tag, of seven days. */
  retain(nowMs: number): void {
    const due = [...this.marks].filter(([, since]) => since <= nowMs - 7 * dayMs).toSorted(([, a], [, b]) => a - b);
    for (const [digest, since] of due) {
      if (this.marks.get(digest) !== since) continue;
      if (this.#isTagged(digest) || this.#isChild(digest)) this.marks.delete(digest);
      else if (this.locked.has(digest)) this.marks.set(digest, nowMs - 7 * dayMs + hourMs);
      else this.remove(digest, nowMs);
    }
  }

  /** With parts and what refers to it. False when it is neither kept nor there. */
  restore(digest: string, tag: string | undefined, nowMs: number): boolean {
    if (!this.live.has(digest) && !this.kept.has(digest)) return false;
    this.#putBack(digest);
    if (tag === undefined) this.#mark(digest, nowMs);
    else {
      const held = this.tags.get(tag);
      if (held !== undefined && held !== digest)
        this.keptTags.set(`${tag} ${held}`, { tag, digest: held, atMs: nowMs });
      this.#point(tag, digest, nowMs);
      this.keptTags.delete(`${tag} ${digest}`);
    }
    const subjects = [digest];
    for (let subject = subjects.pop(); subject !== undefined; subject = subjects.pop()) {
      for (const referrer of [...this.kept.keys()]) {
        if (this.known.get(referrer)?.subject !== subject || this.live.has(referrer)) continue;
        this.#putBack(referrer, false);
        subjects.push(referrer);
      }
      for (const name of cosignTags(subject)) {
        const signature = this.#keptUnder(name);
        if (signature === undefined) continue;
        this.#putBack(signature);
        this.#point(name, signature, nowMs);
        this.keptTags.delete(`${name} ${signature}`);
        subjects.push(signature);
      }
    }
    return true;
  }

  /** Drops what has been kept for seven days. */
  expire(nowMs: number): void {
    for (const [digest, atMs] of this.kept) if (atMs <= nowMs - 7 * dayMs) this.kept.delete(digest);
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

  #putBack(digest: string, withParts = true): void {
    if (this.live.has(digest) || !this.kept.has(digest)) return;
    if (withParts) for (const child of this.known.get(digest)?.children ?? []) this.#putBack(child);
    this.kept.delete(digest);
    this.live.add(digest);
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
    if (this.live.has(digest) && this.known.get(digest)?.subject === undefined) this.marks.set(digest, nowMs);
  }

  #isTagged(digest: string): boolean {
    return [...this.tags.values()].includes(digest);
  }

  #isChild(digest: string): boolean {
    return [...this.live].some((parent) => this.known.get(parent)?.children.includes(digest) === true);
  }
}
