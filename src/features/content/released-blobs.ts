import type { Digest } from '../../core/digest.ts';
import type { Transaction } from '../../platform/database/database.ts';

/**
 * Ends the grace of blobs that are losing a reference now, so that garbage collection, which goes by the ends of graces, looks
 * at them again. A grace that ends later stays. Goes before the references themselves.
 */
export async function releaseBlobsOf(
  tx: Transaction,
  manifest: { readonly repositoryUid: string; readonly digest: Digest },
  nowMicros: number,
): Promise<void> {
  const references = tx
    .selectFrom('manifest_references')
    .where('repository_uid', '=', manifest.repositoryUid)
    .where('manifest_digest', '=', manifest.digest)
    .where('kind', '=', 'blob')
    .select('digest');
  await blobsOfRepository(tx, manifest.repositoryUid, nowMicros).where('digest', 'in', references).execute();
}

/** The same for one blob that leaves a repository. */
export async function releaseBlob(
  tx: Transaction,
  blob: { readonly repositoryUid: string; readonly digest: Digest },
  nowMicros: number,
): Promise<void> {
  await blobsOfRepository(tx, blob.repositoryUid, nowMicros).where('digest', '=', blob.digest).execute();
}

function blobsOfRepository(tx: Transaction, repositoryUid: string, nowMicros: number) {
  return tx
    .updateTable('blobs')
    .set({ grace_until: nowMicros })
    .where('registry_uid', '=', (where) =>
      where.selectFrom('repositories').where('uid', '=', repositoryUid).select('registry_uid'),
    )
    .where('grace_until', '<', nowMicros);
}
