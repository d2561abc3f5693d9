import type { Digest } from '../../core/digest.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { hotRows, ofEach } from '../../platform/database/hot-query.ts';
import type { Answer } from '../../platform/database/send-ahead.ts';
import { forgetPassed } from './quarantine-state.ts';

/** What a manifest was that has left. */
export type DeletedManifest = {
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly artifactType: string | null;
  /** That it referenced. */
  readonly blobs: readonly string[];
};

/** Removes manifests and their references; their tags must be gone. Answers what each was, as `sendAhead`. */
export async function deleteManifests(
  tx: Transaction,
  repositoryUid: string,
  digests: readonly Digest[],
): Promise<() => Promise<ReadonlyMap<string, DeletedManifest>>> {
  const [of, items] = [{ repository: repositoryUid }, digests.map((digest) => ({ digest }))];
  const references = await deleteReferences.ahead(tx, of, items);
  const manifests = await deleteManifestRows.ahead(tx, of, items);
  await forgetPassed(tx, repositoryUid, digests);
  return async () => {
    const blobs = (await references()).filter(({ kind }) => kind === 'blob');
    const byManifest = Map.groupBy(blobs, ({ manifest }) => manifest);
    const gone = (await manifests()).map(({ digest, ...row }): [string, DeletedManifest] => {
      const some = byManifest.get(digest) ?? [];
      return [digest, { ...row, blobs: some.map((blob) => blob.digest) }];
    });
    return new Map(gone);
  };
}

const deleteReferences = hotRows(['repository'], ['digest'], (on, parameter, items) =>
  on
    .deleteFrom('manifest_references')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('manifest_digest', 'in', ofEach(items, 'digest'))
    .returning(['manifest_digest as manifest', 'digest', 'kind']),
);

const deleteManifestRows = hotRows(['repository'], ['digest'], (on, parameter, items) =>
  on
    .deleteFrom('manifests')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', 'in', ofEach(items, 'digest'))
    .returning(['digest', 'media_type as mediaType', 'size as sizeBytes', 'artifact_type as artifactType']),
);

/** Removes the tags on manifests; answers them, as `sendAhead`. */
export async function deleteTagsOn(
  tx: Transaction,
  repositoryUid: string,
  digests: readonly Digest[],
): Promise<Answer<{ readonly name: string; readonly digest: string }>> {
  const items = digests.map((digest) => ({ digest }));
  return await deleteTagRows.ahead(tx, { repository: repositoryUid }, items);
}

const deleteTagRows = hotRows(['repository'], ['digest'], (on, parameter, items) =>
  on
    .deleteFrom('tags')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('digest', 'in', ofEach(items, 'digest'))
    .returning(['name', 'digest']),
);
