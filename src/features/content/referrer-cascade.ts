import { type RawBuilder, sql } from 'kysely';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { isKept, type Locks } from './attributes.ts';
import { cosignTags } from './cosign-tags.ts';
import type { RepositoryRows } from './repository-rows.ts';

/** A tag as deletions look at it. */
export type RemovableTag = { readonly name: string; readonly digest: string; readonly locks: Locks };

export type ReferrerCascadeParts = {
  /** In the transaction. */
  readonly rows: RepositoryRows;
  /** Whether no lock and no rule keeps the tag. */
  readonly mayRemove: (tag: RemovableTag) => boolean;
  readonly removeTags: (tags: readonly RemovableTag[]) => Promise<void>;
  readonly removeManifest: (digest: Digest) => Promise<void>;
};

/** Subjects that one transaction looks at: there may be many to which nothing refers. */
const looksAtOnce = 200;

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
    for (let removed = 0, looks = 0; removed < limit && looks < looksAtOnce; looks += 1) {
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

  /** The tags that cosign gave what belongs to a subject, and what has no other tag then. */
  async #takeUnderCosignTags(subject: Digest, beforeMicros: number = Number.MAX_SAFE_INTEGER): Promise<Digest[]> {
    const rows = await this.#parts.rows
      .tags()
      .where('name', 'in', cosignTags(subject))
      .where(isOlder(beforeMicros))
      .where((where) => where.not(where.exists(this.#itself(subject))))
      .select(['name', 'digest', 'locks'])
      .execute();
    const free = rows.filter(this.#parts.mayRemove);
    await this.#parts.removeTags(free);
    if (free.length === 0) return [];
    const digests = [...new Set(free.map(({ digest }) => digest))];
    const loose = this.#loose(beforeMicros).where('digest', 'in', digests);
    return await this.#takeAll(await loose.orderBy('digest').select('digest').execute());
  }

  /** None of a subject that was pushed again. */
  async #takeLooseReferrers(
    subject: Digest,
    limit: number,
    beforeMicros: number = Number.MAX_SAFE_INTEGER,
  ): Promise<Digest[]> {
    if (limit <= 0) return [];
    const loose = this.#loose(beforeMicros)
      .where('subject_digest', '=', subject)
      .where((where) => where.not(where.exists(this.#itself(subject))))
      .limit(limit);
    return await this.#takeAll(await loose.orderBy('digest').select('digest').execute());
  }

  async #takeAll(rows: readonly { readonly digest: string }[]): Promise<Digest[]> {
    const digests = rows.map((row) => parseDigest(row.digest));
    for (const digest of digests) await this.#parts.removeManifest(digest);
    return digests;
  }

  /** Manifests that are held by nothing: no lock, no tag, no index. */
  #loose(beforeMicros: number) {
    const { rows } = this.#parts;
    return rows
      .manifests()
      .where(isOlder(beforeMicros))
      .where((where) => where.not(isKept('locks')))
      .where((where) =>
        where.not(
          where.or([
            where.exists(rows.tags().where('tags.digest', '=', where.ref('manifests.digest')).select('name')),
            where.exists(
              rows
                .references()
                .where('manifest_references.digest', '=', where.ref('manifests.digest'))
                .where('kind', '=', 'manifest')
                .select('kind'),
            ),
          ]),
        ),
      );
  }

  /** The subject, where it was pushed again. */
  #itself(subject: Digest) {
    return this.#parts.rows.manifests().where('digest', '=', subject).select('digest');
  }
}
