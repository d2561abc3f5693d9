import type { Transaction } from '../../platform/database/database.ts';
import { hotRows, ofEach } from '../../platform/database/hot-query.ts';

/**
 * Ends the grace of blobs that have lost a reference or a link now, so that garbage collection, which goes by the ends of graces,
 * looks at them again. A grace that ends later stays. As `sendAhead`.
 */
export async function releaseBlobs(
  tx: Transaction,
  registryUid: string,
  digests: readonly string[],
  nowMicros: number,
): Promise<void> {
  if (digests.length === 0) return;
  const items = digests.map((digest) => ({ digest }));
  await endGraces.ahead(tx, { registry: registryUid, now: nowMicros }, items);
}

const endGraces = hotRows(['registry', 'now'], ['digest'], (on, parameter, items) =>
  on
    .updateTable('blobs')
    .set({ grace_until: parameter('now') })
    .where('registry_uid', '=', parameter<string>('registry'))
    .where('digest', 'in', ofEach(items, 'digest'))
    .where('grace_until', '<', parameter<number>('now')),
);
