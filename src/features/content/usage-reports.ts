import { type Expression, sql } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Reference } from '../../core/reference.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import { leavingFamily } from './leaving-family.ts';
import { locate } from './locate.ts';
import type { Place } from './place.ts';
import { type StorageLimits, storageLimitOf } from './storage-use.ts';

export type UsageReportsParts = { readonly database: Database; readonly storageLimits?: StorageLimits };

/** Bytes in use in a registry. */
export type RegistryUsage = { readonly usedBytes: number; readonly limitBytes: number | undefined };

/** Bytes of some manifests of a registry and of the blobs that they reference, each counted once. */
export type ContentUsage = {
  readonly referencedBytes: number;
  /** How many manifests that is; with what refers to one and would go with it. */
  readonly manifests: number;
} & Partial<SharedUsage>;

/** Left out for callers who may not read every repository: it would tell them what the others hold. */
type SharedUsage = {
  /** Of the bytes referenced, what other manifests of the registry reference too, deleted ones that can be restored among them. */
  readonly sharedBytes: number;
  /** Of these, what nothing else needs: what deleting them would free. */
  readonly heldAloneBytes: number;
};

/** What uses the space, and what a deletion would give back, to the byte. */
export class UsageReports {
  readonly #parts: UsageReportsParts;
  readonly #queries: Queries;

  constructor(parts: UsageReportsParts) {
    this.#parts = parts;
    this.#queries = parts.database.read;
  }

  /** For whoever may list all of it. Throws `unauthorized` for strangers, and `denied`. */
  async registry(registryUid: string, authority: Authority): Promise<RegistryUsage> {
    const row = await this.#queries
      .selectFrom('registries as g')
      .innerJoin('tenants as t', 't.uid', 'g.tenant_uid')
      .leftJoin('registry_usage as u', 'u.registry_uid', 'g.uid')
      .where('g.uid', '=', registryUid)
      .select(['t.access_epoch as epoch', 'g.sku', 'g.storage_limit as storageLimitBytes', 'u.bytes'])
      .executeTakeFirst();
    if (row === undefined) throw new BerthError('registryUnknown');
    await authority.confirm(row.epoch);
    requireWholeRegistry(authority);
    return { usedBytes: row.bytes ?? 0, limitBytes: storageLimitOf(row, this.#parts.storageLimits) };
  }

  /** Of a repository with all it holds. Throws `nameUnknown`. */
  async repository(place: Place, authority: Authority): Promise<ContentUsage> {
    const uid = await locate(this.#queries, place, authority);
    const chosen = sql<string>`select digest from manifests where repository_uid = ${uid}`;
    return await this.#usage(place, authority, { repositoryUid: uid, chosen });
  }

  /**
   * Of a manifest, by tag or digest, with what refers to it and would be deleted with it.
   * Throws `nameUnknown`, `manifestUnknown`.
   */
  async content(place: Place, authority: Authority, reference: Reference): Promise<ContentUsage> {
    const uid = await locate(this.#queries, place, authority);
    const digest = await this.#digestOf(uid, reference);
    if (digest === undefined) {
      const { kind: _, ...named } = reference;
      throw new BerthError('manifestUnknown', { repository: place.repository, ...named });
    }
    const leaving = await leavingFamily(this.#queries, uid, digest);
    return await this.#usage(place, authority, {
      repositoryUid: uid,
      chosen: theseOf(this.#parts.database.kind, uid, leaving),
    });
  }

  async #usage(
    { registryUid }: Place,
    authority: Authority,
    { repositoryUid, chosen }: { readonly repositoryUid: string; readonly chosen: Expression<string> },
  ): Promise<ContentUsage> {
    const seesAll = authority.visible('metadata_read').kind === 'all';
    const isElsewhere = sql<boolean>`exists (
      select 1 from blob_links l
      join repositories r on r.uid = l.repository_uid and r.registry_uid = ${registryUid}
      where l.digest = u.digest and (
        exists (select 1 from manifest_references o
          where o.repository_uid = l.repository_uid and o.digest = l.digest and o.kind = 'blob'
            and (o.repository_uid <> ${repositoryUid} or o.manifest_digest not in (select digest from chosen)))
        or exists (select 1 from deleted_references d
          where d.repository_uid = l.repository_uid and d.digest = l.digest and d.kind = 'blob')))`;
    const { rows } = await sql<{
      manifests: number;
      manifestBytes: number;
      blobBytes: number;
      sharedBytes: number;
    }>`with chosen (digest) as (${chosen}),
      used as (
        select u.size, case when ${seesAll ? isElsewhere : sql`1 = 0`} then 1 else 0 end as is_shared
        from referenced_blobs u
        where u.registry_uid = ${registryUid} and u.digest in (
          select m.digest from manifest_references m
          join blob_links k on k.repository_uid = m.repository_uid and k.digest = m.digest
          where m.repository_uid = ${repositoryUid} and m.kind = 'blob'
            and m.manifest_digest in (select digest from chosen)))
      select
        (select count(*) from chosen) as "manifests",
        (select coalesce(sum(size), 0) from manifests
          where repository_uid = ${repositoryUid} and digest in (select digest from chosen)) as "manifestBytes",
        (select coalesce(sum(size), 0) from used) as "blobBytes",
        (select coalesce(sum(size), 0) from used where is_shared = 1) as "sharedBytes"`.execute(this.#queries);
    const { manifests = 0, manifestBytes = 0, blobBytes = 0, sharedBytes = 0 } = rows[0] ?? {};
    const referencedBytes = manifestBytes + blobBytes;
    const shared: Partial<SharedUsage> = seesAll ? { sharedBytes, heldAloneBytes: referencedBytes - sharedBytes } : {};
    return { referencedBytes, manifests, ...shared };
  }

  async #digestOf(repositoryUid: string, reference: Reference): Promise<string | undefined> {
    const row =
      reference.kind === 'tag'
        ? await this.#queries
            .selectFrom('tags')
            .where('repository_uid', '=', repositoryUid)
            .where('name', '=', reference.tag)
            .select('digest')
            .executeTakeFirst()
        : await this.#queries
            .selectFrom('manifests')
            .where('repository_uid', '=', repositoryUid)
            .where('digest', '=', reference.digest)
            .select('digest')
            .executeTakeFirst();
    return row?.digest;
  }
}

/** Lists show a part to those who may read a part; bytes in use have none. */
function requireWholeRegistry(authority: Authority): void {
  const missing = [{ Type: 'registry', Name: 'catalog', Action: '*' }];
  if (authority.principal.kind === 'anonymous') throw new BerthError('unauthorized', missing);
  if (authority.visible().kind !== 'all') throw new BerthError('denied', missing);
}

function theseOf(kind: Database['kind'], repositoryUid: string, digests: readonly string[]): Expression<string> {
  // One parameter, however many they are.
  const list = JSON.stringify(digests);
  const listed =
    kind === 'sqlite'
      ? sql`select value from json_each(${list})`
      : sql`select jsonb_array_elements_text(cast(${list} as jsonb))`;
  return sql`select digest from manifests where repository_uid = ${repositoryUid} and digest in (${listed})`;
}
