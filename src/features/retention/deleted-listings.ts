import { type RawBuilder, sql } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from '../content/place.ts';
import { keptManifests, locateKept } from './kept-content.ts';

export type DeletedManifest = {
  readonly digest: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly deletedAtMicros: number;
  /** That pointed at it when they were deleted. */
  readonly tags: readonly string[];
};

export type DeletedTag = { readonly tag: string; readonly digest: string; readonly deletedAtMicros: number };

export type DeletedPage = { readonly last: string; readonly limit: number };

/** `last` is the last one of the page before. */
export type DeletedTagPage = { readonly last?: DeletedTag | undefined; readonly limit: number };

/** What was deleted and can be restored. Source: ACR semantics, 8.2. */
export class DeletedListings {
  readonly #queries: Queries;

  constructor(database: Database) {
    this.#queries = database.read;
  }

  /** Names of repositories that keep something deleted, in byte order. */
  async repositories(registryUid: string, authority: Authority, { last, limit }: DeletedPage): Promise<string[]> {
    await this.#confirm(registryUid, authority);
    const rows = await this.#queries
      .selectFrom('repositories as r')
      .where('r.registry_uid', '=', registryUid)
      .where('r.name', '>', last)
      .where((where) =>
        where.or([
          where.exists(
            where.selectFrom('deleted_manifests as d').whereRef('d.repository_uid', '=', 'r.uid').select('d.digest'),
          ),
          where.exists(
            where.selectFrom('deleted_tags as t').whereRef('t.repository_uid', '=', 'r.uid').select('t.name'),
          ),
        ]),
      )
      .orderBy('r.name')
      .limit(limit)
      .select('r.name')
      .execute();
    return rows.map((row) => row.name);
  }

  /** By digest; those that were pushed again are left out. Throws `nameUnknown`. */
  async manifests(place: Place, authority: Authority, { last, limit }: DeletedPage): Promise<DeletedManifest[]> {
    const uid = await locateKept(this.#queries, place, authority);
    const rows = await keptManifests(this.#queries, uid)
      .where('d.digest', '>', last)
      .orderBy('d.digest')
      .limit(limit)
      .select(['d.digest', 'd.media_type as mediaType', 'd.size as sizeBytes', 'd.deleted_at as deletedAtMicros'])
      .execute();
    const tags = await this.#tagsOf(
      uid,
      rows.map((row) => row.digest),
    );
    return rows.map((row) => ({ ...row, tags: tags.get(row.digest) ?? [] }));
  }

  /** The one deleted last comes last, as the az CLI counts on. Throws `nameUnknown`. */
  async tags(place: Place, authority: Authority, { last, limit }: DeletedTagPage): Promise<DeletedTag[]> {
    const uid = await locateKept(this.#queries, place, authority);
    const all = this.#queries.selectFrom('deleted_tags').where('repository_uid', '=', uid);
    const rows = last === undefined ? all : all.where(isAfter(last));
    return await rows
      .orderBy('deleted_at')
      .orderBy('name')
      .orderBy('digest')
      .limit(limit)
      .select(['name as tag', 'digest', 'deleted_at as deletedAtMicros'])
      .execute();
  }

  async #tagsOf(repositoryUid: string, digests: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    if (digests.length === 0) return new Map();
    const rows = await this.#queries
      .selectFrom('deleted_tags')
      .where('repository_uid', '=', repositoryUid)
      .where('digest', 'in', digests)
      .orderBy('name')
      .select(['name', 'digest'])
      .execute();
    const groups = Map.groupBy(rows, (row) => row.digest);
    return new Map([...groups].map(([digest, some]) => [digest, some.map((row) => row.name)]));
  }

  async #confirm(registryUid: string, authority: Authority): Promise<void> {
    const row = await this.#queries
      .selectFrom('registries as g')
      .innerJoin('tenants as t', 't.uid', 'g.tenant_uid')
      .where('g.uid', '=', registryUid)
      .select('t.access_epoch as epoch')
      .executeTakeFirst();
    if (row === undefined) throw new BerthError('registryUnknown');
    await authority.confirm(row.epoch);
  }
}

function isAfter({ deletedAtMicros, tag, digest }: DeletedTag): RawBuilder<boolean> {
  return sql<boolean>`(deleted_at, name, digest) > (${deletedAtMicros}, ${tag}, ${digest})`;
}
