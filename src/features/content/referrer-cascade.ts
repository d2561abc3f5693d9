import { type RawBuilder, sql } from 'kysely';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { isKept, type Locks } from './attributes.ts';
import { cosignTags } from './cosign-tags.ts';
import type { Referred } from './referred-subjects.ts';
import type { RepositoryRows } from './repository-rows.ts';

/** A tag as deletions look at it. */
export type RemovableTag = { readonly name: string; readonly digest: string; readonly locks: Locks };

export type ReferrerCascadeParts = {
  /** In the transaction. */
  readonly rows: RepositoryRows;
  readonly referred: Referred;
  /** Whether no lock and no rule keeps the tag. */
  readonly mayRemove: (tag: RemovableTag) => boolean;
  readonly removeTags: (tags: readonly RemovableTag[]) => Promise<void>;
  readonly removeManifests: (digests: readonly Digest[]) => Promise<void>;
};

/** Subjects that one transaction looks at: there may be many to which nothing that may leave refers. */
const looksAtOnce = 200;
/** Subjects that are asked about together. */
const askedAtOnce = 50;
/** Manifests that refer to a subject, of which most may be held by tags. */
const referrersAtOnce = 200;

/** Not along the index of times: in SQLite's eyes it would be as good as the one that finds a few rows. */
function isOlder(beforeMicros: number): RawBuilder<boolean> {
  return sql<boolean>`+changed_at <= ${beforeMicros}`;
}

/** Takes along what refers to manifests that are gone, within the transaction of their deletion. */
export class ReferrerCascade {
  readonly #parts: ReferrerCascadeParts;

  constructor(parts: ReferrerCascadeParts) {
    this.#parts = parts;
  }

  /** Answers the subjects that are left; those found last come first, which keeps the list short. */
  async take(subjects: readonly Digest[], limit: number, beforeMicros?: number): Promise<readonly Digest[]> {
    const left = [...subjects];
    const known = new Map<Digest, boolean>();
    for (let removed = 0, looks = 0; removed < limit && looks < looksAtOnce; looks += 1) {
      await this.#passUnreferred(left, known);
      const subject = left[0];
      if (subject === undefined) break;
      const loose = [
        ...(await this.#takeUnderCosignTags(subject, beforeMicros)),
        ...(await this.#takeLooseReferrers(subject, limit - removed, beforeMicros)),
      ];
      removed += loose.length;
      if (removed < limit) left.shift();
      left.unshift(...loose);
    }
    return left;
  }

  /** Takes those off the front to which nothing refers, as to most signatures. */
  async #passUnreferred(left: Digest[], known: Map<Digest, boolean>): Promise<void> {
    // Of one alone the look itself asks.
    while (left.length > 1) {
      const [subject] = left;
      if (subject === undefined || known.get(subject) === true) return;
      if (known.get(subject) === false) left.shift();
      else {
        const some = left.filter((each) => !known.has(each)).slice(0, askedAtOnce);
        const referred = await this.#parts.referred(some);
        for (const each of some) known.set(each, referred.has(each));
      }
    }
  }

  /** The tags that cosign gave what belongs to a subject, and what has no other tag then. */
  async #takeUnderCosignTags(subject: Digest, beforeMicros: number = Number.MAX_SAFE_INTEGER): Promise<Digest[]> {
    const tags = await this.#parts.rows
      .tags()
      .where('name', 'in', cosignTags(subject))
      .where(isOlder(beforeMicros))
      .where((where) => where.not(where.exists(this.#itself(subject))))
      .select(['name', 'digest', 'locks'])
      .execute();
    const free = tags.filter(this.#parts.mayRemove);
    await this.#parts.removeTags(free);
    if (free.length === 0) return [];
    const digests = [...new Set(free.map(({ digest }) => digest))];
    const rows = this.#deletable(beforeMicros).where('digest', 'in', digests);
    return await this.#takeAll(await this.#unheld(await rows.orderBy('digest').select('digest').execute()));
  }

  /** None of a subject that was pushed again. */
  async #takeLooseReferrers(
    subject: Digest,
    limit: number,
    beforeMicros: number = Number.MAX_SAFE_INTEGER,
  ): Promise<Digest[]> {
    const loose: Digest[] = [];
    for (let last: string | undefined = ''; last !== undefined && loose.length < limit; ) {
      const rows = await this.#deletable(beforeMicros)
        .where('subject_digest', '=', subject)
        .where('digest', '>', last)
        .where((where) => where.not(where.exists(this.#itself(subject))))
        .orderBy('digest')
        .limit(referrersAtOnce)
        .select('digest')
        .execute();
      loose.push(...(await this.#unheld(rows)));
      last = rows.length < referrersAtOnce ? undefined : rows.at(-1)?.digest;
    }
    return await this.#takeAll(loose.slice(0, Math.max(limit, 0)));
  }

  async #takeAll(digests: Digest[]): Promise<Digest[]> {
    await this.#parts.removeManifests(digests);
    return digests;
  }

  /** No lock holds them. */
  #deletable(beforeMicros: number) {
    return this.#parts.rows
      .manifests()
      .where(isOlder(beforeMicros))
      .where((where) => where.not(isKept('locks')));
  }

  /**
   * Those that neither a tag nor an index holds. Asked for by their digests: of thousands of signatures with one configuration
   * PostgreSQL would go through all references for each.
   */
  async #unheld(rows: readonly { readonly digest: string }[]): Promise<Digest[]> {
    const digests = rows.map((row) => parseDigest(row.digest));
    if (digests.length === 0) return [];
    const tags = await this.#parts.rows.tags().where('digest', 'in', digests).select('digest').execute();
    const listed = await this.#parts.rows
      .references()
      .where('digest', 'in', digests)
      .where('kind', '=', 'manifest')
      .select('digest')
      .execute();
    const held = new Set([...tags, ...listed].map(({ digest }) => digest));
    return digests.filter((digest) => !held.has(digest));
  }

  /** The subject, where it was pushed again. */
  #itself(subject: Digest) {
    return this.#parts.rows.manifests().where('digest', '=', subject).select('digest');
  }
}
