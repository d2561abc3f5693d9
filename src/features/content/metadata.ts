import { type SelectQueryBuilder, sql } from 'kysely';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Tag } from '../../core/reference.ts';
import type { Queries } from '../../platform/database/database.ts';
import { type ImmutableTagRule, immutableTagRulesSchema } from '../../wire/arm/immutable-tags-schema.ts';
import type { Authority } from '../access/authority.ts';
import { type Attributes, attributesOf, isListed, type Locks } from './attributes.ts';
import { locate } from './locate.ts';
import { type FactsParts, factsOf, type ManifestFacts } from './manifest-facts.ts';
import { countWithin, type Listed, paged } from './paging.ts';
import type { Place } from './place.ts';
import { type Quarantine, quarantineOf, unquarantined } from './quarantine-state.ts';

/** Times are microseconds since 1970. */
export type RepositoryMetadata = {
  readonly createdAt: number;
  /** The last push of a manifest or tag. */
  readonly changedAt: number;
  readonly manifestCount: number;
  readonly tagCount: number;
  readonly attributes: Attributes;
  /** Its own rules for tags that are written once, beside those of the registry. */
  readonly immutableTags: readonly ImmutableTagRule[];
};

export type TagMetadata = {
  readonly name: string;
  readonly digest: string;
  readonly createdAt: number;
  readonly changedAt: number;
  /** Undefined when nobody has asked for it since pulls are noted. */
  readonly pulledAt: number | undefined;
  readonly attributes: Attributes;
};

export type ManifestMetadata = ManifestFacts & {
  readonly digest: string;
  readonly mediaType: string;
  readonly createdAt: number;
  readonly changedAt: number;
  /** As of a tag. */
  readonly pulledAt: number | undefined;
  readonly attributes: Attributes;
  readonly quarantine: Quarantine;
  readonly tags: readonly string[];
};

/**
 * A page in the order of names or digests, or of time. `last` is where the page before ended: its last name and, in the order
 * of time, when that was changed, so that paging goes on even when it has moved or gone since. A name alone is looked up.
 */
export type OrderedPage = {
  readonly limit: number;
  readonly order: 'name' | 'oldestFirst' | 'newestFirst';
  readonly last: { readonly name: string; readonly changedAt: number | undefined } | undefined;
};

/** Bytes of manifests or of facts; a page ends early rather than read more. */
const maxPageBytes = 4 * 1024 * 1024;

/** What lists show of repositories, tags and manifests. Source: ACR semantics, 4.2. */
export class Metadata {
  readonly #parts: FactsParts;
  readonly #queries: Queries;

  constructor(parts: FactsParts) {
    this.#parts = parts;
    this.#queries = parts.database.read;
  }

  /** Throws `nameUnknown`. */
  async repository(place: Place, authority: Authority): Promise<RepositoryMetadata> {
    const uid = await locate(this.#queries, place, authority);
    const ofRepository = (table: 'tags' | 'manifests') =>
      this.#queries.selectFrom(table).where(`${table}.repository_uid`, '=', uid);
    const row = await this.#queries
      .selectFrom('repositories')
      .where('uid', '=', uid)
      .select((select) => [
        'created_at',
        'changed_at',
        'locks',
        'immutable_tags',
        ofRepository('tags').select(select.fn.countAll<number>().as('n')).as('tagCount'),
        ofRepository('manifests').select(select.fn.countAll<number>().as('n')).as('manifestCount'),
        ofRepository('tags').select(select.fn.max<number>('changed_at').as('t')).as('taggedAt'),
        ofRepository('manifests').select(select.fn.max<number>('changed_at').as('t')).as('pushedAt'),
      ])
      .executeTakeFirst();
    if (row === undefined) throw new BerthError('nameUnknown', { name: place.repository });
    return {
      createdAt: row.created_at,
      changedAt: Math.max(row.changed_at, row.taggedAt ?? 0, row.pushedAt ?? 0),
      manifestCount: row.manifestCount ?? 0,
      tagCount: row.tagCount ?? 0,
      attributes: attributesOf(row.locks),
      immutableTags: immutableTagRulesSchema.parse(JSON.parse(row.immutable_tags)),
    };
  }

  /** Throws `nameUnknown`, `tagUnknown`. */
  async tag(place: Place, authority: Authority, tag: Tag): Promise<TagMetadata> {
    const uid = await locate(this.#queries, place, authority);
    const row = await this.#tags(uid).where('name', '=', tag).executeTakeFirst();
    if (row === undefined) throw new BerthError('tagUnknown', { repository: place.repository, tag });
    return tagOf(row);
  }

  /** Those of one manifest where `digest` is set. Throws `nameUnknown`, `pageLastUnknown`. */
  async tags(
    place: Place,
    authority: Authority,
    query: { readonly page: OrderedPage; readonly digest: Digest | undefined },
  ): Promise<Listed<TagMetadata>> {
    const { page, digest } = query;
    const uid = await locate(this.#queries, place, authority);
    const all = this.#tags(uid).where(isListed('locks'));
    const wanted = digest === undefined ? all : all.where('digest', '=', digest);
    const last = await settledLast(page, () =>
      this.#queries
        .selectFrom('tags')
        .where('repository_uid', '=', uid)
        .where('name', '=', page.last?.name ?? '')
        .select('changed_at')
        .executeTakeFirst(),
    );
    const rows = await inOrder(wanted, 'name', { ...page, last }).execute();
    return paged(rows, page, (row) => nextOf(page, row.name, row.changed_at), tagOf);
  }

  /** Throws `nameUnknown`, `manifestUnknown`. */
  async manifest(place: Place, authority: Authority, digest: Digest): Promise<ManifestMetadata> {
    const uid = await locate(this.#queries, place, authority);
    const row = await this.#manifests(uid).where('digest', '=', digest).executeTakeFirst();
    if (row === undefined) throw new BerthError('manifestUnknown', { repository: place.repository, digest });
    const facts = await factsOf(this.#parts, { registryUid: place.registryUid, repositoryUid: uid }, [digest]);
    const tags = await this.#tags(uid).where('digest', '=', digest).orderBy('name').execute();
    const said = await this.#quarantined(uid, [digest]);
    return manifestOf(row, {
      facts: facts.get(digest),
      quarantine: said.get(digest),
      tags: tags.map((tag) => tag.name),
    });
  }

  /** Throws `nameUnknown`, `pageLastUnknown`. */
  async manifests(
    place: Place,
    authority: Authority,
    query: { readonly page: OrderedPage },
  ): Promise<Listed<ManifestMetadata>> {
    const uid = await locate(this.#queries, place, authority);
    const last = await settledLast(query.page, () =>
      this.#queries
        .selectFrom('manifests')
        .where('repository_uid', '=', uid)
        .where('digest', '=', query.page.last?.name ?? '')
        .select('changed_at')
        .executeTakeFirst(),
    );
    const found = await inOrder(this.#manifests(uid).where(isListed('locks')), 'digest', {
      ...query.page,
      last,
    }).execute();
    const sizes = found.map((row) => row.size);
    const page = { ...query.page, limit: Math.min(query.page.limit, Math.max(1, countWithin(sizes, maxPageBytes))) };
    const rows = found.slice(0, page.limit);
    const digests = rows.map((row) => parseDigest(row.digest));
    const facts = await factsOf(this.#parts, { registryUid: place.registryUid, repositoryUid: uid }, digests);
    const tags = await this.#tagsOf(uid, digests);
    const said = await this.#quarantined(uid, digests);
    return paged(
      found,
      page,
      (row) => nextOf(page, row.digest, row.changed_at),
      (row) =>
        manifestOf(row, {
          facts: facts.get(row.digest),
          quarantine: said.get(row.digest),
          tags: tags.get(row.digest)?.map((tag) => tag.name) ?? [],
        }),
    );
  }

  #tags(repositoryUid: string) {
    return this.#queries
      .selectFrom('tags')
      .where('repository_uid', '=', repositoryUid)
      .select((select) => [
        'name',
        'digest',
        'created_at',
        'changed_at',
        'locks',
        select
          .selectFrom('tag_pulls as p')
          .whereRef('p.repository_uid', '=', 'tags.repository_uid')
          .whereRef('p.name', '=', 'tags.name')
          .select('p.pulled_at')
          .as('pulled_at'),
      ]);
  }

  #manifests(repositoryUid: string) {
    return this.#queries
      .selectFrom('manifests')
      .where('repository_uid', '=', repositoryUid)
      .select((select) => [
        'digest',
        'media_type',
        'size',
        'created_at',
        'changed_at',
        'locks',
        select
          .selectFrom('manifest_pulls as p')
          .whereRef('p.repository_uid', '=', 'manifests.repository_uid')
          .whereRef('p.digest', '=', 'manifests.digest')
          .select('p.pulled_at')
          .as('pulled_at'),
      ]);
  }

  /** Of the manifests that a scanner has said something of. */
  async #quarantined(repositoryUid: string, digests: readonly Digest[]): Promise<ReadonlyMap<string, Quarantine>> {
    if (digests.length === 0) return new Map();
    const rows = await this.#queries
      .selectFrom('quarantine_states')
      .where('repository_uid', '=', repositoryUid)
      .where('digest', 'in', digests)
      .select(['digest', 'state', 'details'])
      .execute();
    return new Map(rows.map((row) => [row.digest, quarantineOf(row)]));
  }

  /**
   * By the manifest they are on: those that lists show. One whose tags are all hidden shows them: tools delete what seems to
   * have none.
   */
  async #tagsOf(repositoryUid: string, digests: readonly Digest[]) {
    if (digests.length === 0) return new Map<string, readonly { readonly name: string }[]>();
    const rows = await this.#tags(repositoryUid).where('digest', 'in', digests).orderBy('name').execute();
    const shown = [...Map.groupBy(rows, (row) => row.digest)].map(([digest, tags]) => {
      const listed = tags.filter(({ locks }) => attributesOf(locks).listEnabled);
      return [digest, listed.length > 0 ? listed : tags] as const;
    });
    return new Map(shown);
  }
}

type SettledPage = Omit<OrderedPage, 'last'> & {
  readonly last: { readonly name: string; readonly changedAt: number } | undefined;
};

/** When the last entry of the page before was changed, as it says or as its row has it. */
async function settledLast(
  { order, last }: OrderedPage,
  look: () => Promise<{ readonly changed_at: number } | undefined>,
): Promise<SettledPage['last']> {
  if (last === undefined) return undefined;
  if (order === 'name') return { name: last.name, changedAt: 0 };
  const changedAt = last.changedAt ?? (await look())?.changed_at;
  if (changedAt === undefined) throw new BerthError('pageLastUnknown', { last: last.name });
  return { name: last.name, changedAt };
}

/** One row more than the page, each order along its own index. */
function inOrder<DB, TB extends keyof DB, Row>(
  query: SelectQueryBuilder<DB, TB, Row>,
  key: 'name' | 'digest',
  { order, limit, last }: SettledPage,
): SelectQueryBuilder<DB, TB, Row> {
  const name = sql.ref(key);
  const time = sql.ref('changed_at');
  if (order === 'name') {
    const after = last === undefined ? query : query.where(sql<boolean>`${name} > ${last.name}`);
    return after.orderBy(name).limit(limit + 1);
  }
  const isForward = order === 'oldestFirst';
  const beyond = isForward ? sql`>` : sql`<`;
  const after =
    last === undefined
      ? query
      : query.where(sql<boolean>`(${time}, ${name}) ${beyond} (${last.changedAt}, ${last.name})`);
  const direction = isForward ? 'asc' : 'desc';
  return after
    .orderBy(time, direction)
    .orderBy(name, direction)
    .limit(limit + 1);
}

/** What the next page begins after: `v1`, or in the order of time `v1,1700000000000000`. */
function nextOf({ order }: Pick<OrderedPage, 'order'>, name: string, changedAt: number): string {
  return order === 'name' ? name : `${name},${changedAt}`;
}

type TagRow = {
  readonly name: string;
  readonly digest: string;
  readonly created_at: number;
  readonly changed_at: number;
  readonly pulled_at: number | null;
  readonly locks: Locks;
};

function tagOf({ name, digest, created_at, changed_at, pulled_at, locks }: TagRow): TagMetadata {
  return {
    name,
    digest,
    createdAt: created_at,
    changedAt: changed_at,
    pulledAt: pulled_at ?? undefined,
    attributes: attributesOf(locks),
  };
}

type ManifestRow = Omit<TagRow, 'name'> & { readonly media_type: string; readonly size: number };

type AboutManifest = Pick<ManifestMetadata, 'tags'> & {
  readonly facts: ManifestFacts | undefined;
  readonly quarantine: Quarantine | undefined;
};

function manifestOf(row: ManifestRow, { facts, quarantine = unquarantined, tags }: AboutManifest): ManifestMetadata {
  return {
    ...(facts ?? { imageSize: row.size }),
    digest: row.digest,
    mediaType: row.media_type,
    createdAt: row.created_at,
    changedAt: row.changed_at,
    pulledAt: row.pulled_at ?? undefined,
    attributes: attributesOf(row.locks),
    quarantine,
    tags,
  };
}
