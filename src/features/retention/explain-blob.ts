import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import type { Queries } from '../../platform/database/database.ts';

/** Why a blob is still here, or when it leaves. */
export type BlobExplanation = {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly state: 'ready' | 'damaged';
  readonly createdAtMicros: number;
  /** Until then it stays although nothing references it. */
  readonly graceUntilMicros: number;
  /** Repositories that show it. */
  readonly repositories: readonly string[];
  /** The first of what references it. */
  readonly references: readonly BlobReference[];
  readonly referenceCount: number;
};

export type BlobReference = {
  readonly repository: string;
  readonly manifest: string;
  readonly tags: readonly string[];
  /** Kept to be restored. */
  readonly isDeleted: boolean;
};

const shown = 100;

/** Undefined when the registry holds no such blob. */
export async function explainBlob(
  queries: Queries,
  registryUid: string,
  digest: Digest,
): Promise<BlobExplanation | undefined> {
  const blob = await queries
    .selectFrom('blobs')
    .where('registry_uid', '=', registryUid)
    .where('digest', '=', digest)
    .select(['size', 'state', 'created_at', 'grace_until'])
    .executeTakeFirst();
  if (blob === undefined) return undefined;
  const links = await queries
    .selectFrom('blob_links as l')
    .innerJoin('repositories as r', 'r.uid', 'l.repository_uid')
    .where('l.digest', '=', digest)
    .where('r.registry_uid', '=', registryUid)
    .orderBy('r.name')
    .select('r.name')
    .execute();
  const { count } = await referencesTo(queries, registryUid, digest)
    .select((select) => select.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return {
    digest,
    sizeBytes: blob.size,
    state: blob.state,
    createdAtMicros: blob.created_at,
    graceUntilMicros: blob.grace_until,
    repositories: links.map((row) => row.name),
    references: await firstReferences(queries, registryUid, digest),
    referenceCount: count,
  };
}

async function firstReferences(queries: Queries, registryUid: string, digest: Digest): Promise<BlobReference[]> {
  const rows = await referencesTo(queries, registryUid, digest)
    .orderBy('r.name')
    .orderBy('m.manifest')
    .select(['r.name as repository', 'm.repositoryUid', 'm.manifest', 'm.isDeleted'])
    .limit(shown)
    .execute();
  return await Promise.all(
    rows.map(async ({ repository, repositoryUid, manifest, isDeleted }) => {
      const tags = await queries
        .selectFrom('tags')
        .where('repository_uid', '=', repositoryUid)
        .where('digest', '=', manifest)
        .orderBy('name')
        .select('name')
        .limit(shown)
        .execute();
      return { repository, manifest, tags: tags.map((tag) => tag.name), isDeleted: isDeleted === 1 };
    }),
  );
}

/** By manifests that are served, and by those that are kept to be restored and not served. */
function referencesTo(queries: Queries, registryUid: string, digest: Digest) {
  const served = queries
    .selectFrom('manifest_references')
    .where('digest', '=', digest)
    .where('kind', '=', 'blob')
    .select(['repository_uid as repositoryUid', 'manifest_digest as manifest', sql<number>`0`.as('isDeleted')]);
  const deleted = queries
    .selectFrom('deleted_references as d')
    .where('d.digest', '=', digest)
    .where('d.kind', '=', 'blob')
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('manifests as s')
            .whereRef('s.repository_uid', '=', 'd.repository_uid')
            .whereRef('s.digest', '=', 'd.manifest_digest')
            .select('s.digest'),
        ),
      ),
    )
    .select(['d.repository_uid as repositoryUid', 'd.manifest_digest as manifest', sql<number>`1`.as('isDeleted')]);
  return queries
    .selectFrom(served.unionAll(deleted).as('m'))
    .innerJoin('repositories as r', 'r.uid', 'm.repositoryUid')
    .where('r.registry_uid', '=', registryUid);
}
