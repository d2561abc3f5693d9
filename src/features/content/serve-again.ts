import type { Digest } from '../../core/digest.ts';
import type { StorageKey } from '../../platform/blob-store/blob-store.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import { markReady } from './blob-commit.ts';

export type SetAsideCopy = {
  readonly registryUid: string;
  readonly digest: Digest;
  readonly storageKey: StorageKey;
  readonly sizeBytes: number;
};

/**
 * Takes back a copy that was set aside and whose bytes, read again, are those of its digest: the store was another one then, or
 * not whole. Told as `blob.recovered`. False when that copy is no longer set aside, or no longer in use.
 */
export async function serveAgain(
  { journal, region }: { readonly journal: Journal; readonly region: string },
  copy: SetAsideCopy,
  actor: string,
): Promise<boolean> {
  return await journal.transaction(async (tx, append) => {
    if (!(await markReady(tx, copy))) return false;
    const data = { digest: copy.digest, sizeBytes: copy.sizeBytes };
    append({ stream: streamOf(copy.registryUid, region), type: 'blob.recovered', version: 1, actor, data });
    return true;
  });
}
