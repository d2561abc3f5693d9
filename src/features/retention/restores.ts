import { sql } from 'kysely';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag, type Tag } from '../../core/reference.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import { requireOn } from '../content/attributes.ts';
import type { AuthorizedChange, Change } from '../content/authorized-change.ts';
import { eventsOf } from '../content/content-events.ts';
import { cosignTags } from '../content/cosign-tags.ts';
import { keepTags, putBackManifest } from '../content/deleted-content.ts';
import { immutableTagsOf } from '../content/immutable-tags.ts';
import { missingBlobs } from '../content/manifest-store.ts';
import type { Place } from '../content/place.ts';
import { pointTag, tagState } from '../content/point-tag.ts';
import { fromRepository } from '../content/repository-store.ts';
import { markUntagged } from '../content/untagged-marks.ts';

export type RestoreParts = {
  readonly database: Database;
  readonly change: AuthorizedChange;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
  /** Whether indexes may list what is not here, as `ManifestsParts` has it. */
  readonly isSparseAllowed?: boolean;
};

export type Restore = {
  readonly digest: Digest;
  /** Undefined to restore the manifest without a tag. */
  readonly tag: Tag | undefined;
  /** Takes the tag from another manifest; that one's tag can be restored then. */
  readonly isForced: boolean;
};

const passed: ReadonlySet<string> = new Set(['manifestUnknown', 'tagTaken']);

/** Of a query, and of a transaction: far below what the databases and the journal take. */
const slice = 200;

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
   * Parts of an index come first, and what refers to a manifest last: cut off anywhere, nothing that is served misses a part.
   * Throws `nameUnknown`, `manifestUnknown` for what is neither kept nor there, also for a part, `manifestBlobUnknown`,
   * `tagTaken`, `contentLocked`, `tagImmutable`.
   */
  async restore(place: Place, authority: Authority, restore: Restore): Promise<void> {
    const uid = await this.#locate(place, authority);
    const { read } = this.#parts.database;
    const { parts: family, gone } = await partsOf(read, uid, restore.digest);
    this.#requireParts(place, gone);
    if (family.length === 0 && !(await isServed(read, uid, restore.digest)))
      throw new BerthError('manifestUnknown', { repository: place.repository, digest: restore.digest });
    const parts = family.slice(0, -1);
    for (const some of slices(parts)) await this.#putBack(place, authority, some);
    await this.#putBack(place, authority, [restore.digest], restore);
    for (let subjects: readonly Digest[] = [restore.digest]; subjects.length > 0; ) {
      const referrers = await referrersOf(read, uid, subjects);
      const others = digestsOf(referrers.filter(({ isIndex }) => !isIndex));
      for (const some of slices(others)) await this.#putBackWhatIsLeft(place, authority, some);
      for (const index of referrers.filter(({ isIndex }) => isIndex))
        await this.#putBackWhole(place, authority, uid, index);
      const signatures = await cosignTagsOf(read, uid, subjects);
      for (const signature of signatures) await this.#putBackWhole(place, authority, uid, signature);
      subjects = digestsOf([...referrers, ...signatures]);
    }
  }

  async #locate(place: Place, authority: Authority): Promise<string> {
    const at = { registry: place.registryUid, repository: place.repository };
    const row = await fromRepository(this.#parts.database.read, at).select('r.uid').executeTakeFirst();
    if (row === undefined) throw new BerthError('registryUnknown');
    await authority.confirm(row.epoch);
    if (row.uid === null) throw new BerthError('nameUnknown', { name: place.repository });
    return row.uid;
  }

  /** What belongs to a restored manifest, after what it lists; not where part of that is gone for good. */
  async #putBackWhole(
    place: Place,
    authority: Authority,
    repositoryUid: string,
    { digest, tag }: Pick<Restore, 'digest'> & Partial<Restore>,
  ): Promise<void> {
    const { parts, gone } = await partsOf(this.#parts.database.read, repositoryUid, digest);
    if (this.#isMissed(gone)) return;
    for (const some of slices(parts.slice(0, -1))) await this.#putBackWhatIsLeft(place, authority, some);
    const tagged = tag && { digest, tag, isForced: false };
    await this.#putBackWhatIsLeft(place, authority, [digest], tagged);
  }

  /** What belongs to a restored manifest, but for what was dropped for good, or lost its tag to another, meanwhile. */
  async #putBackWhatIsLeft(
    place: Place,
    authority: Authority,
    digests: readonly Digest[],
    tagged?: Restore,
  ): Promise<void> {
    try {
      await this.#putBack(place, authority, digests, tagged);
    } catch (error) {
      if (!(error instanceof BerthError && passed.has(error.error))) throw error;
      if (digests.length > 1)
        for (const digest of digests) await this.#putBackWhatIsLeft(place, authority, [digest], tagged);
    }
  }

  /** Those of them that are still kept and not served. */
  async #putBack(place: Place, authority: Authority, digests: readonly Digest[], tagged?: Restore): Promise<void> {
    const { change, region } = this.#parts;
    const work = async (context: Change) => {
      const { tx, append, repositoryUid, repositoryLocks } = context;
      if (repositoryUid === undefined) throw new BerthError('nameUnknown', { name: place.repository });
      requireOn({ repository: place.repository }, repositoryLocks, 'writeEnabled');
      const event = eventsOf(place, authority, region);
      for (const digest of digests) {
        const restored = await this.#putBackOne(tx, place, { repositoryUid, digest });
        if (restored !== undefined)
          append(event('manifest.restored', { ...restored, tags: tagged?.tag === undefined ? [] : [tagged.tag] }));
      }
      if (tagged !== undefined) await this.#settle(context, place, authority, { ...tagged, repositoryUid });
    };
    await change(place, authority, work, { isExclusive: true });
  }

  /** Undefined when it is served already. */
  async #putBackOne(tx: Transaction, place: Place, at: { readonly repositoryUid: string; readonly digest: Digest }) {
    if (await isServed(tx, at.repositoryUid, at.digest)) return undefined;
    const kept = await tx
      .selectFrom('deleted_manifests')
      .where('repository_uid', '=', at.repositoryUid)
      .where('digest', '=', at.digest)
      .select(['media_type as mediaType', 'size as sizeBytes', 'subject_digest as subject'])
      .executeTakeFirst();
    if (kept === undefined)
      throw new BerthError('manifestUnknown', { repository: place.repository, digest: at.digest });
    await this.#requireBlobs(tx, place, at);
    this.#requireParts(place, await partsToCome(tx, at));
    await putBackManifest(tx, at);
    const { subject, ...described } = kept;
    return { digest: at.digest, ...described, ...(subject === null ? {} : { subject }) };
  }

  /** A blob may have been found damaged meanwhile. */
  async #requireBlobs(
    tx: Transaction,
    { registryUid }: Place,
    { repositoryUid, digest }: { readonly repositoryUid: string; readonly digest: Digest },
  ): Promise<void> {
    const rows = await tx
      .selectFrom('deleted_references')
      .where('repository_uid', '=', repositoryUid)
      .where('manifest_digest', '=', digest)
      .where('kind', '=', 'blob')
      .orderBy('digest')
      .select('digest')
      .execute();
    const wanted = rows.map((row) => parseDigest(row.digest));
    const linked = await tx
      .selectFrom('blob_links')
      .where('repository_uid', '=', repositoryUid)
      .where('digest', 'in', wanted.length === 0 ? [''] : wanted)
      .select('digest')
      .execute();
    // Layers that were never pushed, because they may not be distributed, were missing before.
    const known = linked.map((row) => parseDigest(row.digest));
    const missing = await missingBlobs(tx, this.#parts.database.kind, { registryUid, repositoryUid }, known);
    if (missing.length > 0)
      throw new BerthError(
        'manifestBlobUnknown',
        missing.map((each) => ({ digest: each })),
      );
  }

  /** An index comes back whole: a part may have been dropped for good, or deleted while nothing was kept. */
  #requireParts({ repository }: Place, gone: readonly string[]): void {
    if (this.#isMissed(gone)) throw new BerthError('manifestUnknown', { repository, digest: gone[0] });
  }

  #isMissed(gone: readonly string[]): boolean {
    return gone.length > 0 && this.#parts.isSparseAllowed !== true;
  }

  /** Sets the tag, or notes that there is none. */
  async #settle(
    { tx, append, registry }: Change,
    place: Place,
    authority: Authority,
    { repositoryUid, digest, tag, isForced }: Restore & { readonly repositoryUid: string },
  ): Promise<void> {
    const { clock, region } = this.#parts;
    const { registryUid, repository } = place;
    const nowMicros = clock.nowMicros();
    if (tag === undefined) {
      if (registry.retentionDays !== null) await markUntagged(tx, { registryUid, repositoryUid }, [digest], nowMicros);
      return;
    }
    const held = await tx
      .selectFrom('tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '=', tag)
      .select('digest')
      .executeTakeFirst();
    if (held !== undefined && held.digest !== digest) {
      if (!isForced) throw new BerthError('tagTaken', { repository, tag, digest: held.digest });
      await keepTags(tx, repositoryUid, [{ name: tag, digest: held.digest }], nowMicros);
    }
    const immutable = immutableTagsOf(registry, repository);
    const written = await pointTag(tx, { place, repositoryUid, immutable }, { tag, digest, region, nowMicros });
    await tx
      .deleteFrom('deleted_tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '=', tag)
      .where('digest', '=', digest)
      .execute();
    if (written === undefined) return;
    const { previous } = written;
    const moved = { tag, digest, region, ...tagState(written) };
    append(eventsOf(place, authority, region)('tag.set', moved));
    if (previous !== undefined && registry.retentionDays !== null)
      await markUntagged(tx, { registryUid, repositoryUid }, [previous], nowMicros);
  }
}

async function isServed(queries: Queries, repositoryUid: string, digest: Digest): Promise<boolean> {
  const row = await queries
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .select('digest')
    .executeTakeFirst();
  return row !== undefined;
}

/** What a manifest lists that is not served. */
async function partsToCome(
  queries: Queries,
  { repositoryUid, digest }: { readonly repositoryUid: string; readonly digest: Digest },
): Promise<readonly string[]> {
  const rows = await queries
    .selectFrom('deleted_references as x')
    .where('x.repository_uid', '=', repositoryUid)
    .where('x.manifest_digest', '=', digest)
    .where('x.kind', '=', 'manifest')
    .where(sql<boolean>`not ${isServedPart}`)
    .orderBy('x.digest')
    .limit(1)
    .select('x.digest')
    .execute();
  return rows.map((row) => row.digest);
}

type Parts = {
  /** The manifest and what it lists, as far as it is kept and not served; parts before what lists them. */
  readonly parts: readonly Digest[];
  /** What one of them lists and is neither kept nor served. */
  readonly gone: readonly string[];
};

async function partsOf(queries: Queries, repositoryUid: string, digest: Digest): Promise<Parts> {
  const listed = new Map<string, readonly Digest[]>();
  const gone: string[] = [];
  for (let found: readonly Digest[] = [digest]; found.length > 0; ) {
    const next = new Set<Digest>();
    for (const some of slices(found))
      for (const [index, parts] of await listedBy(queries, repositoryUid, some)) {
        listed.set(index, digestsOf(parts));
        for (const part of parts)
          if (part.isGone === 1) gone.push(part.digest);
          else next.add(part.digest);
      }
    found = [...next].filter((each) => !listed.has(each));
  }
  return { parts: partsFirst(digest, listed), gone };
}

const isServedPart = sql<boolean>`exists (
  select 1 from manifests m where m.repository_uid = x.repository_uid and m.digest = x.digest)`;
const isKeptPart = sql<boolean>`exists (
  select 1 from deleted_manifests k where k.repository_uid = x.repository_uid and k.digest = x.digest)`;

type Part = { readonly digest: Digest; readonly isGone: number };

/** What those of them list that are kept and not served. */
async function listedBy(
  queries: Queries,
  repositoryUid: string,
  digests: readonly Digest[],
): Promise<ReadonlyMap<string, readonly Part[]>> {
  const rows = await keptOnly(queries, repositoryUid)
    .leftJoin('deleted_references as x', (join) =>
      join
        .onRef('x.repository_uid', '=', 'd.repository_uid')
        .onRef('x.manifest_digest', '=', 'd.digest')
        .on('x.kind', '=', 'manifest'),
    )
    .where('d.digest', 'in', digests)
    .orderBy('d.digest')
    .orderBy('x.digest')
    .select(['d.digest as index', 'x.digest as part'])
    .select(sql<number>`case when ${isServedPart} or ${isKeptPart} then 0 else 1 end`.as('isGone'))
    .execute();
  const ofIndex = ([index, some]: readonly [string, typeof rows]) =>
    [
      index,
      some.flatMap(({ part, isGone }) => (part === null ? [] : [{ digest: parseDigest(part), isGone }])),
    ] as const;
  return new Map([...Map.groupBy(rows, (row) => row.index)].map(ofIndex));
}

/** Without recursion: indexes may be nested as deeply as somebody likes. */
function partsFirst(root: Digest, listed: ReadonlyMap<string, readonly Digest[]>): readonly Digest[] {
  const ordered = new Set<Digest>();
  const entered = new Set<Digest>();
  const path = [root];
  for (let each = path.at(-1); each !== undefined; each = path.at(-1)) {
    const parts = listed.get(each);
    if (parts === undefined || entered.has(each)) {
      path.pop();
      if (parts !== undefined) ordered.add(each);
    } else {
      entered.add(each);
      for (const part of parts) if (!entered.has(part)) path.push(part);
    }
  }
  return [...ordered];
}

type Referrer = { readonly digest: Digest; readonly isIndex: boolean };

/** What is kept, not served, and refers to one of these. */
async function referrersOf(queries: Queries, repositoryUid: string, subjects: readonly Digest[]): Promise<Referrer[]> {
  const found: Referrer[] = [];
  for (const some of slices(subjects)) {
    const rows = await keptOnly(queries, repositoryUid)
      .where('d.subject_digest', 'in', some)
      .orderBy('d.digest')
      .select('d.digest')
      .select(
        sql<number>`case when exists (
          select 1 from deleted_references x
          where x.repository_uid = d.repository_uid and x.manifest_digest = d.digest and x.kind = 'manifest'
        ) then 1 else 0 end`.as('isIndex'),
      )
      .execute();
    for (const { digest, isIndex } of rows) found.push({ digest: parseDigest(digest), isIndex: isIndex === 1 });
  }
  return found;
}

function digestsOf(all: readonly { readonly digest: Digest }[]): readonly Digest[] {
  return all.map(({ digest }) => digest);
}

const isFree = sql<boolean>`not exists (
  select 1 from tags t where t.repository_uid = d.repository_uid and t.name = d.name)`;
const isAtHand = sql<boolean>`(
  exists (select 1 from manifests m where m.repository_uid = d.repository_uid and m.digest = d.digest)
  or exists (select 1 from deleted_manifests k where k.repository_uid = d.repository_uid and k.digest = d.digest))`;

/** Tags of cosign that are kept, free now, and pointed at something that is here or kept: the last deleted of each name. */
async function cosignTagsOf(
  queries: Queries,
  repositoryUid: string,
  subjects: readonly Digest[],
): Promise<readonly { readonly tag: Tag; readonly digest: Digest }[]> {
  const found = new Map<string, string>();
  for (const some of slices(subjects)) {
    const rows = await queries
      .selectFrom('deleted_tags as d')
      .where('d.repository_uid', '=', repositoryUid)
      .where('d.name', 'in', some.flatMap(cosignTags))
      .where(isFree)
      .where(isAtHand)
      .orderBy('d.deleted_at')
      .orderBy('d.digest')
      .select(['d.name', 'd.digest'])
      .execute();
    for (const { name, digest } of rows) found.set(name, digest);
  }
  return [...found].map(([name, digest]) => ({ tag: parseTag(name), digest: parseDigest(digest) }));
}

/** Deleted manifests that are not served. */
function keptOnly(queries: Queries, repositoryUid: string) {
  return queries
    .selectFrom('deleted_manifests as d')
    .where('d.repository_uid', '=', repositoryUid)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('manifests as m')
            .whereRef('m.repository_uid', '=', 'd.repository_uid')
            .whereRef('m.digest', '=', 'd.digest')
            .select('m.digest'),
        ),
      ),
    );
}

function* slices(digests: readonly Digest[]): Generator<readonly Digest[]> {
  for (let start = 0; start < digests.length; start += slice) yield digests.slice(start, start + slice);
}
