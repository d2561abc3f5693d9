import { sql } from 'kysely';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { parseTag, type Tag } from '../../core/reference.ts';
import type { Queries } from '../../platform/database/database.ts';
import { cosignTags } from '../content/cosign-tags.ts';
import { keptManifests } from './kept-content.ts';

/** Of a query, and of a transaction that brings back what it found: far below what the databases and the journal take. */
const slice = 200;

export function* slices(digests: readonly Digest[]): Generator<readonly Digest[]> {
  for (let start = 0; start < digests.length; start += slice) yield digests.slice(start, start + slice);
}

export type KeptParts = {
  /** The manifest and what it lists, as far as it is kept and not served; parts before what lists them. */
  readonly parts: readonly Digest[];
  /** What one of them lists and is neither kept nor served. */
  readonly gone: readonly string[];
};

/** A deleted manifest with all that it lists, however deep. */
export async function keptPartsOf(queries: Queries, repositoryUid: string, digest: Digest): Promise<KeptParts> {
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
  const rows = await keptManifests(queries, repositoryUid)
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

/** The first part of kept manifests that is not served, and none of them. */
export async function partToCome(
  queries: Queries,
  { repositoryUid, digests }: { readonly repositoryUid: string; readonly digests: readonly Digest[] },
): Promise<string | undefined> {
  const row = await queries
    .selectFrom('deleted_references as x')
    .where('x.repository_uid', '=', repositoryUid)
    .where('x.manifest_digest', 'in', digests)
    .where('x.kind', '=', 'manifest')
    .where('x.digest', 'not in', digests)
    .where(sql<boolean>`not ${isServedPart}`)
    .orderBy('x.digest')
    .limit(1)
    .select('x.digest')
    .executeTakeFirst();
  return row?.digest;
}

/** Blobs of kept manifests that have been found damaged. Without a link are layers that were never pushed. */
export async function damagedBlobsOf(
  queries: Queries,
  { registryUid, repositoryUid }: { readonly registryUid: string; readonly repositoryUid: string },
  manifests: readonly Digest[],
): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const some of slices(manifests)) {
    const rows = await queries
      .selectFrom('deleted_references as x')
      .innerJoin('blob_links as l', (join) =>
        join.onRef('l.repository_uid', '=', 'x.repository_uid').onRef('l.digest', '=', 'x.digest'),
      )
      .innerJoin('blobs as b', 'b.digest', 'x.digest')
      .where('x.repository_uid', '=', repositoryUid)
      .where('x.manifest_digest', 'in', some)
      .where('x.kind', '=', 'blob')
      .where('b.registry_uid', '=', registryUid)
      .where('b.state', '<>', 'ready')
      .orderBy('x.digest')
      .select('x.digest')
      .execute();
    for (const { digest } of rows) found.add(digest);
  }
  return [...found];
}

export type KeptReferrer = { readonly digest: Digest; readonly isIndex: boolean };

/** What is kept, not served, and refers to one of these. */
export async function keptReferrersOf(
  queries: Queries,
  repositoryUid: string,
  subjects: readonly Digest[],
): Promise<readonly KeptReferrer[]> {
  const found: KeptReferrer[] = [];
  for (const some of slices(subjects)) {
    const rows = await keptManifests(queries, repositoryUid)
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

const isFree = sql<boolean>`not exists (
  select 1 from tags t where t.repository_uid = d.repository_uid and t.name = d.name)`;
const isAtHand = sql<boolean>`(
  exists (select 1 from manifests m where m.repository_uid = d.repository_uid and m.digest = d.digest)
  or exists (select 1 from deleted_manifests k where k.repository_uid = d.repository_uid and k.digest = d.digest))`;

export type KeptTag = { readonly tag: Tag; readonly digest: Digest };

/** Tags of cosign that are kept, free now, and pointed at something that is here or kept: the last deleted of each name. */
export async function keptCosignTagsOf(
  queries: Queries,
  repositoryUid: string,
  subjects: readonly Digest[],
): Promise<readonly KeptTag[]> {
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

export function digestsOf(all: readonly { readonly digest: Digest }[]): readonly Digest[] {
  return all.map(({ digest }) => digest);
}
