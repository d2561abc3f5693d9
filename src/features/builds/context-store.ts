import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';

/** A stored part of a context. */
export type ContextBlock = { readonly storageKey: string; readonly sizeBytes: number };

/**
 * Gives an uploaded context to a run: it can no longer be changed, and stays until no run needs it. Throws `contextUnknown`
 * for one that is not there whole.
 */
export async function takeContext(
  tx: Transaction,
  registryUid: string,
  path: string,
  nowMicros: number,
): Promise<void> {
  const row = await tx
    .updateTable('build_contexts')
    .set({ state: 'taken', changed_at: nowMicros })
    .where('registry_uid', '=', registryUid)
    .where('path', '=', path)
    .where('state', 'in', ['ready', 'taken'])
    .returning('uid')
    .executeTakeFirst();
  if (row === undefined) throw new BerthError('contextUnknown');
}

/** The parts of a whole context, in order. */
export async function contextBlocks(queries: Queries, registryUid: string, path: string): Promise<ContextBlock[]> {
  return await queries
    .selectFrom('build_contexts as c')
    .innerJoin('build_context_blocks as b', 'b.context_uid', 'c.uid')
    .where('c.registry_uid', '=', registryUid)
    .where('c.path', '=', path)
    .where('b.position', 'is not', null)
    .orderBy('b.position')
    .select(['b.storage_key as storageKey', 'b.size as sizeBytes'])
    .execute();
}
