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
    .orderBy('m.manifest_digest')
    .select(['r.name as repository', 'm.repository_uid as repositoryUid', 'm.manifest_digest as manifest'])
    .limit(shown)
    .execute();
  return await Promise.all(
    rows.map(async ({ repository, repositoryUid, manifest }) => {
      const tags = await queries
        .selectFrom('tags')
        .where('repository_uid', '=', repositoryUid)
        .where('digest', '=', manifest)
        .orderBy('name')
        .select('name')
        .limit(shown)
        .execute();
      return { repository, manifest, tags: tags.map((tag) => tag.name) };
    }),
  );
}

function referencesTo(queries: Queries, registryUid: string, digest: Digest) {
  return queries
    .selectFrom('manifest_references as m')
    .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
    .where('r.registry_uid', '=', registryUid)
    .where('m.digest', '=', digest)
    .where('m.kind', '=', 'blob');
}
