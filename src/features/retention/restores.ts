import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { eventsOf } from '../content/content-events.ts';
import type { Place } from '../content/place.ts';
import { locateKept } from './kept-content.ts';
import { digestsOf, keptCosignTagsOf, keptPartsOf, keptReferrersOf, slices } from './kept-families.ts';
import { PuttingBack, type Restore, servedOf } from './putting-back.ts';

export type RestoreParts = {
  readonly database: Database;
  readonly change: AuthorizedChange;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
  /** Whether indexes may list what is not here, as `ManifestParts` has it. */
  readonly isSparseAllowed?: boolean;
};

/** What hinders one referrer alone: it was dropped for good, a blob of it is damaged, or its tag has gone to another. */
const passed: ReadonlySet<string> = new Set(['manifestUnknown', 'manifestBlobUnknown', 'tagTaken']);

type Batch = {
  readonly digests: readonly Digest[];
  /** What one of them gets. */
  readonly tagged?: Restore | undefined;
  /** Whether the index that lists them comes in another batch. */
  readonly areParts?: boolean;
};

/**
 * Brings back what was deleted, while it is kept: a manifest with what it lists, and with what refers to it, which ACR leaves
 * behind. Source: ACR semantics, 8.2.
 */
export class Restores {
  readonly #parts: RestoreParts;

  constructor(parts: RestoreParts) {
    this.#parts = parts;
  }

  /**
   * Parts of an index come before it, with it in one transaction as far as they are few, and what refers to a manifest last: cut
   * off anywhere, nothing that is served misses a part. Of many parts, what would hinder the last is asked before the first. What
   * refers to it and cannot come back hinders nothing else.
   * Throws `nameUnknown`, `manifestUnknown` for what is neither kept nor there, also for a part, `manifestBlobUnknown`,
   * `tagTaken`, `contentLocked`, `tagImmutable`.
   */
  async restore(place: Place, authority: Authority, restore: Restore): Promise<void> {
    const { read } = this.#parts.database;
    const uid = await locateKept(read, place, authority);
    const { parts: family, gone } = await keptPartsOf(read, uid, restore.digest);
    if (this.#isMissed(gone))
      throw new BerthError('manifestUnknown', { repository: place.repository, digest: gone[0] });
    if (family.length === 0 && (await servedOf(read, uid, [restore.digest])).size === 0)
      throw new BerthError('manifestUnknown', { repository: place.repository, digest: restore.digest });
    const batches = [...slices([...family.slice(0, -1), restore.digest])];
    // None comes back where the last could not.
    if (batches.length > 1)
      await this.#within(place, authority, async (putting) => {
        putting.requireWritable();
        await putting.requireTag(restore);
        await putting.requireUndamaged(family);
      });
    for (const digests of batches)
      await this.#putBack(
        place,
        authority,
        digests.includes(restore.digest) ? { digests, tagged: restore } : { digests, areParts: true },
      );
    await this.#putBackReferrers(place, authority, uid, restore.digest);
  }

  /** What refers to a restored manifest, by its subject or under a tag of cosign, and what refers to that. */
  async #putBackReferrers(place: Place, authority: Authority, repositoryUid: string, digest: Digest): Promise<void> {
    const { read } = this.#parts.database;
    // Tags of cosign may lead back to what could not come back.
    const seen = new Set<Digest>();
    for (let subjects: readonly Digest[] = [digest]; subjects.length > 0; ) {
      for (const subject of subjects) seen.add(subject);
      const referrers = await keptReferrersOf(read, repositoryUid, subjects);
      const others = digestsOf(referrers.filter(({ isIndex }) => !isIndex));
      for (const digests of slices(others)) await this.#putBackWhatIsLeft(place, authority, { digests });
      for (const index of referrers.filter(({ isIndex }) => isIndex))
        await this.#putBackWhole(place, authority, repositoryUid, index);
      const signatures = await keptCosignTagsOf(read, repositoryUid, subjects);
      for (const signature of signatures) await this.#putBackWhole(place, authority, repositoryUid, signature);
      subjects = [...new Set(digestsOf([...referrers, ...signatures]))].filter((each) => !seen.has(each));
    }
  }

  /** What belongs to a restored manifest, after what it lists; not where part of that is gone for good. */
  async #putBackWhole(
    place: Place,
    authority: Authority,
    repositoryUid: string,
    { digest, tag }: Pick<Restore, 'digest'> & Partial<Restore>,
  ): Promise<void> {
    const { parts, gone } = await keptPartsOf(this.#parts.database.read, repositoryUid, digest);
    if (this.#isMissed(gone)) return;
    for (const digests of slices(parts.slice(0, -1)))
      await this.#putBackWhatIsLeft(place, authority, { digests, areParts: true });
    const tagged = tag && { digest, tag, isForced: false };
    await this.#putBackWhatIsLeft(place, authority, { digests: [digest], tagged });
  }

  /** What belongs to a restored manifest, but for what cannot come back by itself. */
  async #putBackWhatIsLeft(place: Place, authority: Authority, batch: Batch): Promise<void> {
    try {
      await this.#putBack(place, authority, batch);
    } catch (error) {
      if (!(error instanceof BerthError && passed.has(error.error))) throw error;
      if (batch.digests.length > 1)
        for (const digest of batch.digests)
          await this.#putBackWhatIsLeft(place, authority, { ...batch, digests: [digest] });
    }
  }

  /** Those of them that are still kept and not served, in one transaction. */
  async #putBack(place: Place, authority: Authority, { digests, tagged, areParts = false }: Batch): Promise<void> {
    await this.#within(place, authority, async (putting) => {
      putting.requireWritable();
      if (digests.length > 1) await putting.lockBlobs(digests);
      await putting.manifests(digests, tagged);
      if (areParts) await putting.markParts(digests);
      if (tagged !== undefined) await putting.settle(tagged);
    });
  }

  async #within(place: Place, authority: Authority, work: (putting: PuttingBack) => Promise<void>): Promise<void> {
    const { change, clock, database, region, isSparseAllowed = false } = this.#parts;
    await change(
      place,
      authority,
      async (context) => {
        const { repositoryUid } = context;
        if (repositoryUid === undefined) throw new BerthError('nameUnknown', { name: place.repository });
        const putting = new PuttingBack({
          kind: database.kind,
          place,
          change: context,
          repositoryUid,
          event: eventsOf(place, authority, region),
          region,
          nowMicros: clock.nowMicros(),
          isSparseAllowed,
        });
        await work(putting);
      },
      { isExclusive: true },
    );
  }

  #isMissed(gone: readonly string[]): boolean {
    return gone.length > 0 && this.#parts.isSparseAllowed !== true;
  }
}
