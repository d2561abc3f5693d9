import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Tag } from '../../core/reference.ts';
import type { Queries } from '../../platform/database/database.ts';
import { lockedForKeyShare } from '../../platform/database/locks.ts';
import { requireOn } from '../content/attributes.ts';
import { keepTags, putBackManifests } from '../content/deleted-content.ts';
import { immutableTagsOf } from '../content/immutable-tags.ts';
import { missingBlobs, touchManifest } from '../content/manifest-store.ts';
import { pointTag, tagState } from '../content/point-tag.ts';
import type { RepositoryChangeParts } from '../content/removal.ts';
import { markUntagged } from '../content/untagged-marks.ts';
import { damagedBlobsOf, partToCome, slices } from './kept-families.ts';

export type Restore = {
  readonly digest: Digest;
  /** Undefined to restore the manifest without a tag. */
  readonly tag: Tag | undefined;
  /** Takes the tag from another manifest; that one's tag can be restored then. */
  readonly isForced: boolean;
};

export type PuttingBackParts = RepositoryChangeParts & {
  readonly region: string;
  /** Whether indexes may list what is not here, as `ManifestParts` has it. */
  readonly isSparseAllowed: boolean;
};

/** A restore of many parts is done by then. */
const partsGraceMicros = 3_600_000_000;

/** Restores in one repository within one transaction: kept manifests are served again, and tags point at them. */
export class PuttingBack {
  readonly #parts: PuttingBackParts;

  constructor(parts: PuttingBackParts) {
    this.#parts = parts;
  }

  /** Throws `contentLocked`. */
  requireWritable(): void {
    const { place, change } = this.#parts;
    requireOn({ repository: place.repository }, change.repositoryLocks, 'writeEnabled');
  }

  /** Goes before several of them. One order for all who lock blobs: nobody waits in a circle. */
  async lockBlobs(digests: readonly Digest[]): Promise<void> {
    const { kind, change, place, repositoryUid } = this.#parts;
    const blobs = change.tx
      .selectFrom('deleted_references as x')
      .innerJoin('blobs as b', 'b.digest', 'x.digest')
      .where('x.repository_uid', '=', repositoryUid)
      .where('x.manifest_digest', 'in', digests)
      .where('x.kind', '=', 'blob')
      .where('b.registry_uid', '=', place.registryUid)
      .orderBy('b.digest')
      .select('b.digest');
    await lockedForKeyShare(kind, blobs, 'b').execute();
  }

  /**
   * Nothing happens to those that are served. `tagged` is what one of them gets.
   * Throws `manifestUnknown` for what is not kept, also for a part; `manifestBlobUnknown`.
   */
  async manifests(digests: readonly Digest[], tagged: Restore | undefined): Promise<void> {
    const { change, place, repositoryUid, event, isSparseAllowed } = this.#parts;
    const { tx, append } = change;
    const served = await servedOf(tx, repositoryUid, digests);
    const coming = digests.filter((digest) => !served.has(digest));
    if (coming.length === 0) return;
    const some = { repositoryUid, digests: coming };
    const kept = await keptOf(tx, some);
    const unknown = coming.find((digest) => !kept.has(digest));
    if (unknown !== undefined)
      throw new BerthError('manifestUnknown', { repository: place.repository, digest: unknown });
    await this.#requireBlobs(coming);
    // An index comes back whole: a part may have been dropped for good, or deleted while nothing was kept.
    const part = isSparseAllowed ? undefined : await partToCome(tx, some);
    if (part !== undefined) throw new BerthError('manifestUnknown', { repository: place.repository, digest: part });
    await putBackManifests(tx, some);
    for (const digest of coming) {
      const tags = tagged?.tag !== undefined && tagged.digest === digest ? [tagged.tag] : [];
      append(event('manifest.restored', { digest, ...kept.get(digest), tags }));
    }
  }

  /** Sets the tag, or notes that there is none: whoever goes by the age of such a manifest begins anew. Throws `tagTaken`, `contentLocked`, `tagImmutable`. */
  async settle({ digest, tag, isForced }: Restore): Promise<void> {
    const { change, repositoryUid, nowMicros } = this.#parts;
    if (tag !== undefined) return await this.#setTag(tag, digest, isForced);
    await touchManifest(change.tx, repositoryUid, digest, nowMicros);
    await this.#markUntagged([digest]);
  }

  async #setTag(tag: Tag, digest: Digest, isForced: boolean): Promise<void> {
    const { change, place, repositoryUid, event, region, nowMicros } = this.#parts;
    const { tx, append, registry } = change;
    const other = await this.requireTag({ digest, tag, isForced });
    if (other !== undefined) await keepTags(tx, repositoryUid, [{ name: tag, digest: other }], nowMicros);
    const immutable = immutableTagsOf(registry, place.repository);
    const written = await pointTag(tx, { place, repositoryUid, immutable }, { tag, digest, region, nowMicros });
    await tx
      .deleteFrom('deleted_tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '=', tag)
      .where('digest', '=', digest)
      .execute();
    if (written === undefined) return;
    append(event('tag.set', { tag, digest, region, ...tagState(written) }));
    if (written.previous !== undefined) await this.#markUntagged([written.previous]);
  }

  /** Throws what `settle` throws; resolves to the manifest that the tag points at now, where that is another. */
  async requireTag({ digest, tag, isForced }: Restore): Promise<string | undefined> {
    const { change, place, repositoryUid } = this.#parts;
    const { repository } = place;
    if (tag === undefined) return undefined;
    const held = await change.tx
      .selectFrom('tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '=', tag)
      .select(['digest', 'locks'])
      .executeTakeFirst();
    if (held === undefined) return undefined;
    const other = held.digest === digest ? undefined : held.digest;
    if (other !== undefined && !isForced) throw new BerthError('tagTaken', { repository, tag, digest: other });
    if (!immutableTagsOf(change.registry, repository).holds(tag))
      requireOn({ repository, tag }, held.locks, 'writeEnabled');
    else if (other !== undefined) throw new BerthError('tagImmutable', { repository, tag });
    return other;
  }

  /** Throws `manifestBlobUnknown`; locks nothing, however many they are. */
  async requireUndamaged(digests: readonly Digest[]): Promise<void> {
    const { change, place, repositoryUid } = this.#parts;
    const at = { registryUid: place.registryUid, repositoryUid };
    const damaged = await damagedBlobsOf(change.tx, at, digests);
    if (damaged.length > 0)
      throw new BerthError(
        'manifestBlobUnknown',
        damaged.map((digest) => ({ digest })),
      );
  }

  /** Parts that an index follows in another transaction: the policy looks at them when that is done, or was cut off. */
  async markParts(digests: readonly Digest[]): Promise<void> {
    await this.#markUntagged(digests, this.#parts.nowMicros + partsGraceMicros);
  }

  async #markUntagged(digests: readonly string[], since = this.#parts.nowMicros): Promise<void> {
    const { change, place, repositoryUid } = this.#parts;
    if (change.registry.retentionDays === null) return;
    await markUntagged(change.tx, { registryUid: place.registryUid, repositoryUid }, digests, since);
  }

  /** A blob may have been found damaged meanwhile. */
  async #requireBlobs(digests: readonly Digest[]): Promise<void> {
    const { kind, change, place, repositoryUid } = this.#parts;
    const { tx } = change;
    const rows = await tx
      .selectFrom('deleted_references as x')
      .innerJoin('blob_links as l', (join) =>
        join.onRef('l.repository_uid', '=', 'x.repository_uid').onRef('l.digest', '=', 'x.digest'),
      )
      .where('x.repository_uid', '=', repositoryUid)
      .where('x.manifest_digest', 'in', digests)
      .where('x.kind', '=', 'blob')
      .orderBy('x.digest')
      .select('x.digest')
      .distinct()
      .execute();
    // Without a link are layers that were never pushed, because they may not be distributed.
    const wanted = rows.map((row) => parseDigest(row.digest));
    const at = { registryUid: place.registryUid, repositoryUid };
    const missing: Digest[] = [];
    for (const some of slices(wanted)) missing.push(...(await missingBlobs(tx, kind, at, some)));
    if (missing.length > 0)
      throw new BerthError(
        'manifestBlobUnknown',
        missing.map((each) => ({ digest: each })),
      );
  }
}

export async function servedOf(
  queries: Queries,
  repositoryUid: string,
  digests: readonly Digest[],
): Promise<ReadonlySet<string>> {
  const rows = await queries
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .select('digest')
    .execute();
  return new Set(rows.map(({ digest }) => digest));
}

/** As events tell of it. */
type Kept = { readonly mediaType: string; readonly sizeBytes: number; readonly subject?: string };

async function keptOf(
  queries: Queries,
  { repositoryUid, digests }: { readonly repositoryUid: string; readonly digests: readonly Digest[] },
): Promise<ReadonlyMap<string, Kept>> {
  const rows = await queries
    .selectFrom('deleted_manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .select(['digest', 'media_type as mediaType', 'size as sizeBytes', 'subject_digest as subject'])
    .execute();
  return new Map(
    rows.map(({ digest, subject, ...kept }) => [digest, { ...kept, ...(subject === null ? {} : { subject }) }]),
  );
}
