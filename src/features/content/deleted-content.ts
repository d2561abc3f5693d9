import type { Expression, SqlBool } from 'kysely';
import { sql } from 'kysely';
import type { Transaction } from '../../platform/database/database.ts';
import { forgetPassed } from './quarantine-state.ts';

// What a registry keeps of what was deleted, so that it can be restored. Source: ACR semantics, 8.2.

/** Keeps statements far below the parameter limits of both databases, however many tags a manifest has. */
const tagsPerStatement = 150;

/**
 * Whether a manifest of the repository, served or deleted, references the blob. The one place that knows what holds a blob. The offsets
 * keep PostgreSQL from reading all references there are in place of looking for one, as it does where it thinks that they are few.
 */
export function isBlobHeld(repositoryUid: Expression<string>, digest: Expression<string>): Expression<SqlBool> {
  return sql<SqlBool>`(
    exists (select 1 from manifest_references h where h.repository_uid = ${repositoryUid} and h.digest = ${digest} and h.kind = 'blob' limit 1 offset 0)
    or exists (select 1 from deleted_references d where d.repository_uid = ${repositoryUid} and d.digest = ${digest} and d.kind = 'blob' limit 1 offset 0))`;
}

/** Manifests of one repository, as few as one transaction deletes or brings back. */
type SomeManifests = { readonly repositoryUid: string; readonly digests: readonly string[] };

/** Keeps copies of manifests that are about to be deleted. Answers those of which none was there, from an earlier deletion. */
export async function keepManifests(
  tx: Transaction,
  { repositoryUid, digests }: SomeManifests,
  nowMicros: number,
): Promise<ReadonlySet<string>> {
  const rows = await tx
    .updateTable('deleted_manifests')
    .set({ deleted_at: nowMicros })
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .returning('digest')
    .execute();
  const known = new Set(rows.map((row) => row.digest));
  const kept = digests.filter((digest) => !known.has(digest));
  if (kept.length === 0) return new Set();
  await tx
    .insertInto('deleted_manifests')
    .columns([...copied, 'deleted_at'])
    .expression(
      tx
        .selectFrom('manifests')
        .where('repository_uid', '=', repositoryUid)
        .where('digest', 'in', kept)
        .select([...copied])
        .select((select) => select.cast<number>(select.val(nowMicros), 'bigint').as('deleted_at')),
    )
    .execute();
  await tx
    .insertInto('deleted_references')
    .columns([...referenceColumns])
    .expression(
      tx
        .selectFrom('manifest_references')
        .where('repository_uid', '=', repositoryUid)
        .where('manifest_digest', 'in', kept)
        .select([...referenceColumns]),
    )
    .execute();
  return new Set(kept);
}

/** Remembers tags that are about to be deleted, or moved away by a restore. */
export async function keepTags(
  tx: Transaction,
  repositoryUid: string,
  tags: readonly { readonly name: string; readonly digest: string }[],
  nowMicros: number,
): Promise<void> {
  const common = { repository_uid: repositoryUid, deleted_at: nowMicros };
  for (let start = 0; start < tags.length; start += tagsPerStatement)
    await tx
      .insertInto('deleted_tags')
      .values(tags.slice(start, start + tagsPerStatement).map(({ name, digest }) => ({ ...common, name, digest })))
      .onConflict((conflict) =>
        conflict.columns(['repository_uid', 'name', 'digest']).doUpdateSet({ deleted_at: nowMicros }),
      )
      .execute();
}

/** Puts kept manifests back among those that are served; none of them may be there. */
export async function putBackManifests(tx: Transaction, { repositoryUid, digests }: SomeManifests): Promise<void> {
  await tx
    .insertInto('manifests')
    .columns([...copied])
    .expression(
      tx
        .selectFrom('deleted_manifests')
        .where('repository_uid', '=', repositoryUid)
        .where('digest', 'in', digests)
        .select([...copied]),
    )
    .execute();
  await tx
    .insertInto('manifest_references')
    .columns([...referenceColumns])
    .expression(
      tx
        .selectFrom('deleted_references')
        .where('repository_uid', '=', repositoryUid)
        .where('manifest_digest', 'in', digests)
        .select([...referenceColumns]),
    )
    .execute();
  await forgetManifests(tx, { repositoryUid, digests });
}

/** Drops kept manifests for good; answers the blobs that they referenced, each once. */
export async function forgetManifests(
  tx: Transaction,
  { repositoryUid, digests }: SomeManifests,
): Promise<readonly string[]> {
  const references = await tx
    .deleteFrom('deleted_references')
    .where('repository_uid', '=', repositoryUid)
    .where('manifest_digest', 'in', digests)
    .returning(['digest', 'kind'])
    .execute();
  await tx
    .deleteFrom('deleted_manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .execute();
  await forgetPassed(tx, repositoryUid, digests);
  return [...new Set(references.filter(({ kind }) => kind === 'blob').map((reference) => reference.digest))];
}

const copied = [
  'repository_uid',
  'digest',
  'media_type',
  'artifact_type',
  'size',
  'subject_digest',
  'annotations',
  'created_at',
  'changed_at',
  'body',
] as const;
const referenceColumns = ['repository_uid', 'manifest_digest', 'digest', 'kind'] as const;
