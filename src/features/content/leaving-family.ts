import { sql } from 'kysely';
import type { Queries } from '../../platform/database/database.ts';
import { deletionLocks } from './attributes.ts';
import { cosignTags } from './cosign-tags.ts';
import { type ImmutableTags, immutableTagsOf } from './immutable-tags.ts';

/** Keeps statements far below the parameter limits of both databases. */
const slice = 200;

/**
 * A manifest of a repository, and what would leave with it: what refers to it, by its subject or under a tag of cosign, and so
 * on, and is there for nothing else. The rule of `ReferrerCascade`, gone through in its order.
 */
export async function leavingFamily(
  queries: Queries,
  repositoryUid: string,
  digest: string,
): Promise<readonly string[]> {
  const family = new Family(await readFamily(queries, repositoryUid, digest));
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
  readonly manifests: { readonly digest: string; readonly subject: string | null; readonly locks: number }[];
  readonly tagCounts: Map<string, number>;
  /** By name: those of cosign that may go. */
  readonly freeTags: Map<string, string>;
  readonly listings: { readonly index: string; readonly digest: string }[];
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

/** A manifest and all that refers to it, by whatever way and through whatever, held or not. */
async function readFamily(queries: Queries, repositoryUid: string, digest: string): Promise<Facts> {
  const immutable = await immutableTagsIn(queries, repositoryUid);
  const facts: Facts = { manifests: [], tagCounts: new Map(), freeTags: new Map(), listings: [] };
  const seen = new Set([digest]);
  for (let found = [digest]; found.length > 0; ) {
    const next: string[] = [];
    for (let start = 0; start < found.length; start += slice)
      for (const each of await readSome(
        queries,
        { repositoryUid, immutable, facts },
        found.slice(start, start + slice),
      ))
        if (!seen.has(each)) {
          seen.add(each);
          next.push(each);
        }
    found = next;
  }
  return facts;
}

/** Adds what is known of some manifests; answers what refers to them. */
async function readSome(
  queries: Queries,
  {
    repositoryUid,
    immutable,
    facts,
  }: { readonly repositoryUid: string; readonly immutable: ImmutableTags; readonly facts: Facts },
  digests: readonly string[],
): Promise<readonly string[]> {
  const manifests = await queries
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .select(['digest', 'subject_digest as subject', 'locks'])
    .execute();
  facts.manifests.push(...manifests);
  const counts = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .groupBy('digest')
    .select((on) => ['digest', on.fn.countAll<number | string>().as('count')])
    .execute();
  for (const { digest, count } of counts) facts.tagCounts.set(digest, Number(count));
  const listings = await queries
    .selectFrom('manifest_references')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .where('kind', '=', 'manifest')
    .select(['manifest_digest as index', 'digest'])
    .execute();
  facts.listings.push(...listings);
  const tags = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('name', 'in', digests.flatMap(cosignTags))
    .where(sql<boolean>`(locks & ${sql.lit(deletionLocks)}) = 0`)
    .select(['name', 'digest'])
    .execute();
  const free = tags.filter(({ name }) => !immutable.keeps(name));
  for (const { name, digest } of free) facts.freeTags.set(name, digest);
  const referrers = await queries
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('subject_digest', 'in', digests)
    .select('digest')
    .execute();
  return [...free, ...referrers].map(({ digest }) => digest);
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
