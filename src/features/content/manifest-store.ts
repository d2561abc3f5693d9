import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import type { Manifest } from '../../core/manifest.ts';
import type { Tag } from '../../core/reference.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import { lockedForKeyShare, lockedForUpdate } from '../../platform/database/locks.ts';
import { releaseBlobsOf } from './released-blobs.ts';
import { fromRepository } from './repository-store.ts';

/** A manifest as pushed. */
export type StoredManifest = {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly body: Uint8Array;
};

const manifestColumns = ['m.digest', 'm.media_type as mediaType', 'm.body'] as const;

/** One manifest by tag or by digest, beside the tenant's current access epoch; one row whenever the registry exists. */
export function createManifestQueries(database: Database) {
  return {
    byTag: hotQuery(database.read, ['registry', 'repository', 'tag'], (queries, parameter) =>
      fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') })
        .leftJoin('tags as n', (join) =>
          join.onRef('n.repository_uid', '=', 'r.uid').on('n.name', '=', parameter('tag')),
        )
        .leftJoin('manifests as m', (join) =>
          join.onRef('m.repository_uid', '=', 'r.uid').onRef('m.digest', '=', 'n.digest'),
        )
        .select(manifestColumns),
    ),
    byDigest: hotQuery(database.read, ['registry', 'repository', 'digest'], (queries, parameter) =>
      fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') })
        .leftJoin('manifests as m', (join) =>
          join.onRef('m.repository_uid', '=', 'r.uid').on('m.digest', '=', parameter('digest')),
        )
        .select(manifestColumns),
    ),
  };
}

/** The digests among `wanted` that this repository cannot show: no link, or damaged bytes. Keeps the others from being collected. */
export async function missingBlobs(
  tx: Transaction,
  kind: Database['kind'],
  place: { readonly registryUid: string; readonly repositoryUid: string },
  wanted: readonly Digest[],
): Promise<Digest[]> {
  if (wanted.length === 0) return [];
  const query = tx
    .selectFrom('blob_links as l')
    .innerJoin('blobs as b', (join) =>
      join.on('b.registry_uid', '=', place.registryUid).onRef('b.digest', '=', 'l.digest'),
    )
    .where('l.repository_uid', '=', place.repositoryUid)
    .where('l.digest', 'in', wanted)
    .where('b.state', '=', 'ready')
    .select(['l.digest']);
  const rows = await lockedForKeyShare(kind, query, 'b', 'l').execute();
  const present = new Set(rows.map((row) => row.digest));
  return wanted.filter((digest) => !present.has(digest));
}

/** The digests among `wanted` that are no manifests of this repository. Keeps the others from being deleted. */
export async function missingManifests(
  tx: Transaction,
  kind: Database['kind'],
  repositoryUid: string,
  wanted: readonly Digest[],
): Promise<Digest[]> {
  if (wanted.length === 0) return [];
  const query = tx
    .selectFrom('manifests as m')
    .where('m.repository_uid', '=', repositoryUid)
    .where('m.digest', 'in', wanted)
    .select(['m.digest']);
  const rows = await lockedForKeyShare(kind, query, 'm').execute();
  const present = new Set(rows.map((row) => row.digest));
  return wanted.filter((digest) => !present.has(digest));
}

export type ManifestInsert = {
  readonly repositoryUid: string;
  readonly stored: StoredManifest;
  readonly manifest: Manifest;
  readonly nowMicros: number;
};

/**
 * Stores a manifest and what it references. A second push of the same bytes repairs the stored ones where they were damaged,
 * and keeps the manifest from being deleted before this transaction has tagged it.
 */
export async function insertManifest(tx: Transaction, kind: Database['kind'], insert: ManifestInsert): Promise<void> {
  const { repositoryUid, stored, manifest } = insert;
  while (!(await insertRow(tx, insert))) {
    if (await lockManifest(tx, kind, repositoryUid, stored.digest)) return await repairRow(tx, repositoryUid, stored);
  }
  const references = new Map<Digest, 'blob' | 'manifest'>();
  for (const blob of [...manifest.blobs, ...manifest.nonDistributable]) references.set(blob.digest, 'blob');
  for (const child of manifest.children) references.set(child.digest, 'manifest');
  const rows = [...references].map(([digest, referenceKind]) => ({
    repository_uid: repositoryUid,
    manifest_digest: stored.digest,
    digest,
    kind: referenceKind,
  }));
  for (let start = 0; start < rows.length; start += referencesPerInsert) {
    await tx
      .insertInto('manifest_references')
      .values(rows.slice(start, start + referencesPerInsert))
      .execute();
  }
}

/** Locks a manifest's row for the rest of the transaction; false when there is none. */
export async function lockManifest(
  tx: Transaction,
  kind: Database['kind'],
  repositoryUid: string,
  digest: Digest,
): Promise<boolean> {
  const query = tx
    .selectFrom('manifests')
    .select('digest')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest);
  return (await lockedForUpdate(kind, query).executeTakeFirst()) !== undefined;
}

/** Removes a manifest and its references; its tags must be gone. */
export async function deleteManifest(
  tx: Transaction,
  repositoryUid: string,
  digest: Digest,
  nowMicros: number,
): Promise<void> {
  await releaseBlobsOf(tx, { repositoryUid, digest }, nowMicros);
  await tx
    .deleteFrom('manifest_references')
    .where('repository_uid', '=', repositoryUid)
    .where('manifest_digest', '=', digest)
    .execute();
  await tx.deleteFrom('manifests').where('repository_uid', '=', repositoryUid).where('digest', '=', digest).execute();
}

async function insertRow(
  tx: Transaction,
  { repositoryUid, stored, manifest, nowMicros }: ManifestInsert,
): Promise<boolean> {
  const isReferrer = manifest.subject !== undefined && manifest.annotations !== undefined;
  const row = await tx
    .insertInto('manifests')
    .values({
      repository_uid: repositoryUid,
      digest: stored.digest,
      media_type: stored.mediaType,
      artifact_type: manifest.artifactType ?? null,
      size: stored.body.byteLength,
      subject_digest: manifest.subject?.digest ?? null,
      annotations: isReferrer ? JSON.stringify(manifest.annotations) : null,
      created_at: nowMicros,
      changed_at: nowMicros,
      body: stored.body,
    })
    .onConflict((conflict) => conflict.columns(['repository_uid', 'digest']).doNothing())
    .returning('digest')
    .executeTakeFirst();
  return row !== undefined;
}

/** `stored` was just checked against its digest. */
async function repairRow(tx: Transaction, repositoryUid: string, { digest, body }: StoredManifest): Promise<void> {
  await tx
    .updateTable('manifests')
    .set({ body, size: body.byteLength })
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .where('body', '<>', body)
    .execute();
}

/** Keeps the statement far below the parameter limits of both databases. */
const referencesPerInsert = 500;

export type TagWrite = { readonly tag: Tag; readonly hybridTime: number };

/**
 * Points a tag at a manifest. Resolves to the tag's hybrid time, which is higher than any it had before: writers of one tag
 * are ordered by it.
 */
export async function setTag(
  tx: Transaction,
  repositoryUid: string,
  write: { readonly tag: Tag; readonly digest: Digest; readonly region: string; readonly nowMicros: number },
): Promise<TagWrite> {
  const row = await tx
    .insertInto('tags')
    .values({
      repository_uid: repositoryUid,
      name: write.tag,
      digest: write.digest,
      hybrid_time: write.nowMicros,
      region: write.region,
      created_at: write.nowMicros,
      changed_at: write.nowMicros,
    })
    .onConflict((conflict) =>
      conflict.columns(['repository_uid', 'name']).doUpdateSet({
        digest: (excluded) => excluded.ref('excluded.digest'),
        hybrid_time: sql<number>`case when tags.hybrid_time >= excluded.hybrid_time then tags.hybrid_time + 1 else excluded.hybrid_time end`,
        region: (excluded) => excluded.ref('excluded.region'),
        changed_at: (excluded) => excluded.ref('excluded.changed_at'),
      }),
    )
    .returning('hybrid_time')
    .executeTakeFirstOrThrow();
  return { tag: write.tag, hybridTime: row.hybrid_time };
}
