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
   * Throws `nameUnknown`, `manifestUnknown` for what is neither kept nor there, `manifestBlobUnknown`, `tagTaken`,
   * `contentLocked`, `tagImmutable`.
   */
  async restore(place: Place, authority: Authority, restore: Restore): Promise<void> {
    const uid = await this.#locate(place, authority);
    const { read } = this.#parts.database;
    const family = await partsOf(read, uid, restore.digest);
    if (family.length === 0 && !(await isServed(read, uid, restore.digest)))
      throw new BerthError('manifestUnknown', { repository: place.repository, digest: restore.digest });
    const parts = family.slice(0, -1);
    for (const some of slices(parts)) await this.#putBack(place, authority, some);
    await this.#putBack(place, authority, [restore.digest], restore);
    for (let subjects: readonly Digest[] = [restore.digest]; subjects.length > 0; ) {
      const referrers = await referrersOf(read, uid, subjects);
      for (const some of slices(referrers)) await this.#putBackWhatIsLeft(place, authority, some);
      const signatures = await cosignTagsOf(read, uid, subjects);
      for (const signature of signatures) {
        const family = await partsOf(read, uid, signature.digest);
        for (const some of slices(family.slice(0, -1))) await this.#putBackWhatIsLeft(place, authority, some);
        await this.#putBackWhatIsLeft(place, authority, [signature.digest], { ...signature, isForced: false });
      }
      subjects = [...referrers, ...signatures.map((each) => each.digest)];
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

/** The manifest and what it lists, as far as it is kept and not served; parts before what lists them. */
async function partsOf(queries: Queries, repositoryUid: string, digest: Digest): Promise<readonly Digest[]> {
  const listed = new Map<string, readonly Digest[]>();
  for (let found: readonly Digest[] = [digest]; found.length > 0; ) {
    const next = new Set<Digest>();
    for (const some of slices(found))
      for (const [index, parts] of await listedBy(queries, repositoryUid, some)) {
        listed.set(index, parts);
        for (const part of parts) next.add(part);
      }
    found = [...next].filter((each) => !listed.has(each));
  }
  return partsFirst(digest, listed);
}

/** What those of them list that are kept and not served. */
async function listedBy(
  queries: Queries,
  repositoryUid: string,
  digests: readonly Digest[],
): Promise<ReadonlyMap<string, readonly Digest[]>> {
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
    .execute();
  const ofIndex = ([index, some]: readonly [string, typeof rows]) =>
    [index, some.flatMap(({ part }) => (part === null ? [] : [parseDigest(part)]))] as const;
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

/** What is kept, not served, and refers to one of these. */
async function referrersOf(queries: Queries, repositoryUid: string, subjects: readonly Digest[]): Promise<Digest[]> {
  const found: Digest[] = [];
  for (const some of slices(subjects)) {
    const rows = await keptOnly(queries, repositoryUid)
      .where('d.subject_digest', 'in', some)
      .orderBy('d.digest')
      .select('d.digest')
      .execute();
    for (const row of rows) found.push(parseDigest(row.digest));
  }
  return found;
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
