import { createHash } from 'node:crypto';
import { type Digest, digestOf } from '../../core/digest.ts';
import type { BlobStore, StorageKey } from '../../platform/blob-store/blob-store.ts';
import type { Transaction } from '../../platform/database/database.ts';

/** Bytes in the store that are no blobs of a repository: contexts and logs. Their rows keep the sweep of orphans from them, and say to backups what they are. */
export type KeptBytes = { readonly storageKey: StorageKey; readonly sizeBytes: number; readonly digest: Digest };

/** Stores a stream under a new key; until a row names it the bytes are an orphan, which the sweep frees. */
export async function storeBytes(store: BlobStore, bytes: AsyncIterable<Uint8Array>): Promise<KeptBytes> {
  const handle = await store.begin();
  const hash = createHash('sha256');
  async function* hashed() {
    for await (const chunk of bytes) {
      hash.update(chunk);
      yield chunk;
    }
  }
  try {
    const { token, sizeBytes } = await store.part(handle, { number: 1, offset: 0 }, hashed());
    const storageKey = await store.complete(handle, [token]);
    return { storageKey, sizeBytes, digest: digestOf('sha256', hash.digest('hex')) };
  } catch (error) {
    await store.abort(handle);
    throw error;
  }
}

export async function keepBytes(
  tx: Transaction,
  registryUid: string,
  { storageKey, sizeBytes, digest }: KeptBytes,
  nowMicros: number,
): Promise<void> {
  await tx
    .insertInto('kept_bytes')
    .values({ storage_key: storageKey, registry_uid: registryUid, digest, size: sizeBytes, created_at: nowMicros })
    .execute();
}

/** The caller removes the bytes themselves after the commit; a crash between leaves orphans. */
export async function dropBytes(tx: Transaction, keys: readonly StorageKey[]): Promise<void> {
  if (keys.length > 0) await tx.deleteFrom('kept_bytes').where('storage_key', 'in', keys).execute();
}
