import { sql } from 'kysely';
import type { Queries } from '../../platform/database/database.ts';

/** Keeps statements far below the parameter limits of both databases. */
const digestsPerStatement = 500;

/**
 * What deleting manifests of a registry would free, one group after the other, to the byte: each answer counts with what the
 * groups before took. Where deleted content is kept to be restored, deleting frees nothing yet.
 */
export class FreedBytes {
  readonly #queries: Queries;
  readonly #registryUid: string;
  /** How often the groups so far referenced each blob. */
  readonly #gone = new Map<string, number>();

  constructor(queries: Queries, registryUid: string) {
    this.#queries = queries;
    this.#registryUid = registryUid;
  }

  /** Bytes of each group, in order. A group is the digests of its manifests. */
  async ofGroups(repositoryUid: string, groups: readonly (readonly string[])[]): Promise<readonly number[]> {
    const digests = groups.flat();
    const keeps = await this.#keepsDeleted();
    const sizes = await this.#manifestSizes(repositoryUid, digests, keeps);
    const blobs = keeps ? new Map<string, Blob[]>() : await this.#blobsOf(repositoryUid, digests);
    const holders = await this.#holders([...new Set([...blobs.values()].flat().map(({ digest }) => digest))]);
    return groups.map((group) =>
      group.reduce((sum, manifest) => {
        const freed = (blobs.get(manifest) ?? []).filter(({ digest }) => this.#isLast(digest, holders));
        return freed.reduce((bytes, { size }) => bytes + size, sum + (sizes.get(manifest) ?? 0));
      }, 0),
    );
  }

  #isLast(digest: string, holders: ReadonlyMap<string, number>): boolean {
    const gone = (this.#gone.get(digest) ?? 0) + 1;
    this.#gone.set(digest, gone);
    return gone === holders.get(digest);
  }

  async #keepsDeleted(): Promise<boolean> {
    const row = await this.#queries
      .selectFrom('registries')
      .where('uid', '=', this.#registryUid)
      .select('keeps_deleted')
      .executeTakeFirst();
    return row?.keeps_deleted === 1;
  }

  /** Where deleted ones are kept, a manifest that was deleted before has a copy already: its own bytes go. */
  async #manifestSizes(
    repositoryUid: string,
    digests: readonly string[],
    keeps: boolean,
  ): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    for (const some of slices(digests)) {
      const all = this.#queries
        .selectFrom('manifests as m')
        .where('m.repository_uid', '=', repositoryUid)
        .where('m.digest', 'in', some)
        .select(['m.digest', 'm.size']);
      const rows = await (keeps
        ? all.where(
            sql<boolean>`exists (select 1 from deleted_manifests d where d.repository_uid = m.repository_uid and d.digest = m.digest)`,
          )
        : all
      ).execute();
      for (const { digest, size } of rows) sizes.set(digest, size);
    }
    return sizes;
  }

  /** Blobs in use that each manifest references. */
  async #blobsOf(repositoryUid: string, digests: readonly string[]): Promise<ReadonlyMap<string, Blob[]>> {
    const found = new Map<string, Blob[]>();
    for (const some of slices(digests)) {
      const rows = await this.#queries
        .selectFrom('manifest_references as m')
        .innerJoin('blob_links as l', (join) =>
          join.onRef('l.repository_uid', '=', 'm.repository_uid').onRef('l.digest', '=', 'm.digest'),
        )
        .innerJoin('referenced_blobs as u', (join) =>
          join.on('u.registry_uid', '=', this.#registryUid).onRef('u.digest', '=', 'm.digest'),
        )
        .where('m.repository_uid', '=', repositoryUid)
        .where('m.manifest_digest', 'in', some)
        .where('m.kind', '=', 'blob')
        .select(['m.manifest_digest as manifest', 'm.digest', 'u.size'])
        .execute();
      for (const [manifest, blobs] of Map.groupBy(rows, (row) => row.manifest)) found.set(manifest, blobs);
    }
    return found;
  }

  /** How many manifests of the registry, served or kept to be restored, reference each blob where it is shown. */
  async #holders(digests: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>();
    for (const some of slices(digests)) {
      for (const table of ['manifest_references', 'deleted_references'] as const) {
        const rows = await this.#queries
          .selectFrom(`${table} as m`)
          .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
          .innerJoin('blob_links as l', (join) =>
            join.onRef('l.repository_uid', '=', 'm.repository_uid').onRef('l.digest', '=', 'm.digest'),
          )
          .where('r.registry_uid', '=', this.#registryUid)
          .where('m.digest', 'in', some)
          .where('m.kind', '=', 'blob')
          .groupBy('m.digest')
          .select((select) => ['m.digest', select.fn.countAll<number>().as('count')])
          .execute();
        for (const { digest, count } of rows) counts.set(digest, (counts.get(digest) ?? 0) + count);
      }
    }
    return counts;
  }
}

type Blob = { readonly digest: string; readonly size: number };

function* slices(digests: readonly string[]): Generator<readonly string[]> {
  for (let start = 0; start < digests.length; start += digestsPerStatement)
    yield digests.slice(start, start + digestsPerStatement);
}
