import type { Transaction } from '../../platform/database/database.ts';

/**
 * Ends the grace of blobs that have lost a reference or a link now, so that garbage collection, which goes by the ends of graces,
 * looks at them again. A grace that ends later stays.
 */
export async function releaseBlobs(
  tx: Transaction,
  registryUid: string,
  digests: readonly string[],
  nowMicros: number,
): Promise<void> {
  if (digests.length === 0) return;
  await tx
    .updateTable('blobs')
    .set({ grace_until: nowMicros })
    .where('registry_uid', '=', registryUid)
    .where('digest', 'in', digests)
    .where('grace_until', '<', nowMicros)
    .execute();
}
