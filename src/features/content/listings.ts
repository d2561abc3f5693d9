import { sql } from 'kysely';
import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import { hotQuery, hotRows } from '../../platform/database/hot-query.ts';
import type { Authority } from '../access/authority.ts';
import { isListed } from './attributes.ts';
import { countWithin, type Listed, type Page, paged } from './paging.ts';
import type { Place } from './place.ts';
import { fromRepository, listRepositories } from './repository-store.ts';

/** A manifest that names another as its subject, as the referrers list shows it. */
export type Referrer = {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** Bytes; a page of referrers ends early rather than grow past what clients accept as one index. */
const maxReferrerPageBytes = 2 * 1024 * 1024;

/** The lists of a registry, in byte order, page by page; each page is one index look-up. */
export class Listings {
  readonly #queries: Queries;
  readonly #find: ReturnType<typeof createFind>;

  constructor(database: Database) {
    this.#queries = database.read;
    this.#find = createFind(database);
  }

  /** Names of the repositories that hold a manifest, that the caller may read, and that lists show. */
  async catalog(registryUid: string, authority: Authority, page: Page): Promise<Listed<string>> {
    await this.#locate({ registryUid, repository: undefined }, authority);
    const query = { registryUid, visible: authority.visible(), last: page.last, limit: page.limit + 1 };
    return paged(await listRepositories(this.#queries, query), page, itself, itself);
  }

  /** Throws `nameUnknown` for a repository without a manifest. */
  async tags(place: Place, authority: Authority, page: Page): Promise<Listed<string>> {
    const of = { registry: place.registryUid, repository: place.repository, last: page.last, limit: page.limit + 1 };
    const [at, ...rows] = await tagNames(this.#queries, of, []);
    const repositoryUid = await located(at, authority);
    if (rows.length === 0 && !(await this.#holdsManifest(repositoryUid))) {
      throw new BerthError('nameUnknown', { name: place.repository });
    }
    return paged(
      rows.flatMap(({ name }) => name ?? []),
      page,
      itself,
      itself,
    );
  }

  /** Manifests whose subject is `subject`, by digest; none when nothing is known of it. */
  async referrers(
    place: Place,
    authority: Authority,
    query: { readonly subject: Digest; readonly artifactType: string | undefined; readonly page: Page },
  ): Promise<Listed<Referrer>> {
    const repositoryUid = await this.#locate(place, authority);
    let select = this.#queries
      .selectFrom('manifests')
      .where('repository_uid', '=', repositoryUid)
      .where('subject_digest', '=', query.subject)
      .where(isListed('locks'))
      .where('digest', '>', query.page.last);
    if (query.artifactType !== undefined) select = select.where('artifact_type', '=', query.artifactType);
    // Sizes first: what the annotations of a whole page would take is not read to be dropped.
    const sizes = await select
      .select(['digest', sql<number>`coalesce(octet_length(annotations), 0)`.as('bytes')])
      .orderBy('digest')
      .limit(query.page.limit + 1)
      .execute();
    const fitting = countWithin(
      sizes.map((row) => row.bytes),
      maxReferrerPageBytes,
    );
    const page = { ...query.page, limit: Math.min(query.page.limit, Math.max(1, fitting)) };
    const { entries: digests, next } = paged(sizes, page, keyOf, keyOf);
    if (digests.length === 0) return { entries: [], next };
    const rows = await select
      .select(['digest', 'media_type', 'size', 'artifact_type', 'annotations'])
      .where('digest', 'in', digests)
      .orderBy('digest')
      .execute();
    return { entries: rows.map(referrerOf), next };
  }

  /** The repository's uid, or a text no repository has; confirms the caller's authority on the way. */
  async #locate(
    at: { readonly registryUid: string; readonly repository: string | undefined },
    authority: Authority,
  ): Promise<string> {
    const from = { registry: at.registryUid, repository: at.repository ?? '' };
    return await located(await this.#find(this.#queries, from), authority);
  }

  async #holdsManifest(repositoryUid: string): Promise<boolean> {
    const row = await this.#queries
      .selectFrom('manifests')
      .select('digest')
      .where('repository_uid', '=', repositoryUid)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }
}

function itself(name: string): string {
  return name;
}

function keyOf(row: { readonly digest: string }): string {
  return row.digest;
}

type ReferrerRow = {
  readonly digest: string;
  readonly media_type: string;
  readonly size: number;
  readonly artifact_type: string | null;
  readonly annotations: string | null;
};

function referrerOf(row: ReferrerRow): Referrer {
  return {
    mediaType: row.media_type,
    digest: parseDigest(row.digest),
    size: row.size,
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
    ...(row.annotations === null ? {} : { annotations: JSON.parse(row.annotations) }),
  };
}

type Located = { readonly epoch: number; readonly repositoryUid: string | null };

/** The repository's uid, or a text no repository has. Throws `registryUnknown`, and what `confirm` does. */
async function located(row: Located | undefined, authority: Authority): Promise<string> {
  if (row === undefined) throw new BerthError('registryUnknown');
  await authority.confirm(row.epoch);
  return row.repositoryUid ?? '';
}

function createFind(database: Database) {
  return hotQuery(database.read, ['registry', 'repository'], (queries, parameter) =>
    fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') }).select(
      'r.uid as repositoryUid',
    ),
  );
}

/** First where the repository is, then tags by name. Joined, PostgreSQL would sort all of them for each page. */
const tagNames = hotRows(['registry', 'repository', 'last', 'limit'], [], (on, parameter) => {
  const [registry, repository] = [parameter<string>('registry'), parameter<string>('repository')];
  const names = on
    .selectFrom('tags')
    .select('name')
    .where('repository_uid', '=', (where) =>
      where
        .selectFrom('repositories')
        .where('registry_uid', '=', registry)
        .where('name', '=', repository)
        .select('uid'),
    )
    .where('name', '>', parameter<string>('last'))
    .where(isListed('locks'))
    .orderBy('name')
    .limit(parameter<number>('limit'));
  const nothing = sql<string | null>`null`;
  return fromRepository(on, { registry, repository })
    .select(['r.uid as repositoryUid', nothing.as('name')])
    .unionAll(
      on
        .selectFrom(names.as('n'))
        .select([sql<number>`0`.as('epoch'), nothing.as('repositoryUid'), sql<string | null>`n.name`.as('name')]),
    );
});
