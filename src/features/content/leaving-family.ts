import { type Expression, type SqlBool, sql } from 'kysely';
import type { Database, Queries } from '../../platform/database/database.ts';
import { deletionLocks } from './attributes.ts';
import { cosignTags } from './cosign-tags.ts';
import { type ImmutableTags, immutableTagsOf } from './immutable-tags.ts';

export type FamilyAt = {
  readonly kind: Database['kind'];
  readonly repositoryUid: string;
};

/**
 * A manifest of a repository, and what would leave with it: what refers to it, by its subject or under a tag of cosign, and so
 * on, and is there for nothing else. The rule of `ReferrerCascade`, gone through in its order; a few queries, however many
 * there are and however long their chain is.
 */
export async function leavingFamily(queries: Queries, at: FamilyAt, digest: string): Promise<readonly string[]> {
  const immutable = await immutableTagsIn(queries, at.repositoryUid);
  const digests = await familyOf(queries, at, digest);
  const family = new Family(await readFamily(queries, at, [...new Set([digest, ...digests])], immutable));
  family.remove(digest);
  const subjects = [digest];
  for (let subject = subjects.pop(); subject !== undefined; subject = subjects.pop()) {
    // Those found last come first.
    const loose = [...family.takeUnderCosignTags(subject), ...family.takeReferrers(subject)];
    subjects.push(...loose.toReversed());
  }
  return family.gone;
}

type Facts = {
  readonly manifests: readonly { readonly digest: string; readonly subject: string | null; readonly locks: number }[];
  readonly tagCounts: ReadonlyMap<string, number>;
  /** By name: those of cosign that may go. */
  readonly freeTags: ReadonlyMap<string, string>;
  readonly listings: readonly { readonly index: string; readonly digest: string }[];
};

/** What is left of a family while one after the other leaves. */
class Family {
  readonly #gone = new Set<string>();
  readonly #locked: ReadonlySet<string>;
  readonly #referrers: ReadonlyMap<string, readonly string[]>;
  readonly #tagCounts: Map<string, number>;
  readonly #freeTags: Map<string, string>;
  /** How many indexes list each. */
  readonly #listed = new Map<string, number>();
  readonly #parts: ReadonlyMap<string, readonly string[]>;

  constructor({ manifests, tagCounts, freeTags, listings }: Facts) {
    this.#locked = new Set(manifests.filter(({ locks }) => (locks & deletionLocks) !== 0).map(({ digest }) => digest));
    this.#referrers = grouped(manifests.map(({ digest, subject }) => [subject ?? '', digest]));
    this.#tagCounts = new Map(tagCounts);
    this.#freeTags = new Map(freeTags);
    this.#parts = grouped(listings.map(({ index, digest }) => [index, digest]));
    for (const { digest } of listings) this.#listed.set(digest, (this.#listed.get(digest) ?? 0) + 1);
  }

  /** In the order in which they left. */
  get gone(): readonly string[] {
    return [...this.#gone];
  }

  remove(digest: string): void {
    this.#gone.add(digest);
    this.#tagCounts.delete(digest);
    for (const part of this.#parts.get(digest) ?? []) this.#listed.set(part, (this.#listed.get(part) ?? 0) - 1);
  }

  takeUnderCosignTags(subject: string): readonly string[] {
    const digests = new Set<string>();
    for (const tag of cosignTags(subject)) {
      const digest = this.#freeTags.get(tag);
      if (digest === undefined || this.#gone.has(digest)) continue;
      this.#freeTags.delete(tag);
      this.#tagCounts.set(digest, (this.#tagCounts.get(digest) ?? 0) - 1);
      digests.add(digest);
    }
    return this.#takeLoose([...digests]);
  }

  takeReferrers(subject: string): readonly string[] {
    return this.#takeLoose(this.#referrers.get(subject) ?? []);
  }

  #takeLoose(digests: readonly string[]): readonly string[] {
    const loose = digests.filter((digest) => this.#isLoose(digest)).toSorted();
    for (const digest of loose) this.remove(digest);
    return loose;
  }

  #isLoose(digest: string): boolean {
    if (this.#gone.has(digest) || this.#locked.has(digest)) return false;
    return (this.#tagCounts.get(digest) ?? 0) === 0 && (this.#listed.get(digest) ?? 0) === 0;
  }
}

/** All that refers to a manifest, by whatever way and through whatever, held or not. */
async function familyOf(queries: Queries, { kind, repositoryUid }: FamilyAt, digest: string): Promise<string[]> {
  const names = sql.join(['.sig', '.att', '.sbom'].map((end) => sql`replace(f.digest, ':', '-') || ${sql.lit(end)}`));
  const manifests = sql`manifests m where m.repository_uid = ${repositoryUid} and m.subject_digest = f.digest`;
  const tags = sql`tags n where n.repository_uid = ${repositoryUid} and n.name in (${names})`;
  // SQLite joins nothing sideways, PostgreSQL looks back once.
  const next =
    kind === 'sqlite'
      ? sql`select m.digest from family f cross join ${manifests} union select n.digest from family f cross join ${tags}`
      : sql`select x.digest from family f
          cross join lateral (select m.digest from ${manifests} union all select n.digest from ${tags}) x`;
  const { rows } = await sql<{ readonly digest: string }>`with recursive family (digest) as (
    select digest from manifests where repository_uid = ${repositoryUid} and digest = ${digest}
    union ${next})
    select digest from family`.execute(queries);
  return rows.map((row) => row.digest);
}

async function readFamily(
  queries: Queries,
  { kind, repositoryUid }: FamilyAt,
  digests: readonly string[],
  immutable: ImmutableTags,
): Promise<Facts> {
  const isOne = isAmong(kind, 'digest', digests);
  const manifests = await queries
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where(isOne)
    .select(['digest', 'subject_digest as subject', 'locks'])
    .execute();
  const counts = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where(isOne)
    .groupBy('digest')
    .select((on) => ['digest', on.fn.countAll<number | string>().as('count')])
    .execute();
  const tags = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where(isAmong(kind, 'name', digests.flatMap(cosignTags)))
    .where(sql<boolean>`(locks & ${sql.lit(deletionLocks)}) = 0`)
    .select(['name', 'digest'])
    .execute();
  const listings = await queries
    .selectFrom('manifest_references')
    .where('repository_uid', '=', repositoryUid)
    .where('kind', '=', 'manifest')
    .where(isOne)
    .select(['manifest_digest as index', 'digest'])
    .execute();
  return {
    manifests,
    tagCounts: new Map(counts.map(({ digest, count }) => [digest, Number(count)])),
    freeTags: new Map(tags.filter(({ name }) => !immutable.keeps(name)).map(({ name, digest }) => [name, digest])),
    listings,
  };
}

/** Whether a column holds one of them: one parameter, however many they are. Texts without quotes and backslashes. */
export function isAmong(kind: Database['kind'], column: string, texts: readonly string[]): Expression<SqlBool> {
  const list = JSON.stringify(texts);
  return kind === 'sqlite'
    ? sql<boolean>`${sql.ref(column)} in (select value from json_each(${list}))`
    : sql<boolean>`${sql.ref(column)} = any(cast(${`{${list.slice(1, -1)}}`} as text[]))`;
}

async function immutableTagsIn(queries: Queries, repositoryUid: string): Promise<ImmutableTags> {
  const row = await queries
    .selectFrom('repositories as r')
    .innerJoin('registries as g', 'g.uid', 'r.registry_uid')
    .where('r.uid', '=', repositoryUid)
    .select(['r.name', 'r.immutable_tags as ownImmutableTags', 'g.immutable_tags as immutableTags'])
    .executeTakeFirst();
  return immutableTagsOf(row ?? { immutableTags: '[]', ownImmutableTags: '[]' }, row?.name ?? '');
}

function grouped(pairs: readonly (readonly [string, string])[]): ReadonlyMap<string, readonly string[]> {
  const groups = Map.groupBy(pairs, ([key]) => key);
  return new Map([...groups].map(([key, some]) => [key, some.map(([, value]) => value)]));
}
