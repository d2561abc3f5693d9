import { createHash, type Hash } from 'node:crypto';
import { type Digest, type DigestAlgorithm, digestOf } from '../../core/digest.ts';
import { BlockChecksums } from '../../features/content/block-checksums.ts';
import { BlobMissing, type BlobStore } from '../../platform/blob-store/blob-store.ts';
import { errorCode } from '../../platform/blob-store/storage-error.ts';
import { sideBySide } from '../side-by-side.ts';
import type { FoundBlob, FoundContent } from './found-content.ts';

/** Told now and then while blobs are read. */
export type ScanProgress = (done: { readonly blobs: number; readonly bytes: number }) => void;
export type ReadableStore = Pick<BlobStore, 'list' | 'read'>;
export type ScanAccount = {
  readonly blobs: number;
  readonly bytes: number;
  readonly unfinished: number;
  /** Keys of blobs whose bytes the disk does not give. */
  readonly unreadable: readonly string[];
};

/** Blobs that are read at once. */
const width = 4;
const progressEvery = 1_000;
/** A disk lost what it was given: no later try brings it. */
const lossCodes = ['EIO', 'EBADMSG', 'EUCLEAN'];

/**
 * Reads every blob of a store: which digests are there is known by their bytes alone. A blob that cannot be read costs itself alone;
 * throws for a store that is away, or closed to this user.
 */
export async function scanBlobs(
  store: ReadableStore,
  found: FoundContent,
  progress: ScanProgress,
): Promise<ScanAccount> {
  const algorithms: DigestAlgorithm[] = found.wants('sha512') ? ['sha256', 'sha512'] : ['sha256'];
  const unreadable: string[] = [];
  let [blobs, bytes, unfinished] = [0, 0, 0];
  await sideBySide(store.list(''), width, async ({ key, handle }) => {
    if (handle !== undefined) {
      unfinished += 1;
      return;
    }
    const outcome = await read(store, key, algorithms);
    if (outcome === 'unreadable') unreadable.push(key);
    if (typeof outcome === 'string') return;
    const { blob, digests } = outcome;
    found.addBlob(blob, digests);
    blobs += 1;
    bytes += blob.sizeBytes;
    if (blobs % progressEvery === 0) progress({ blobs, bytes });
  });
  return { blobs, bytes, unfinished, unreadable };
}

/** What a fault says of the blob that was read: gone, or not to be read. Undefined for faults of the store as a whole. */
export function lossOf(fault: unknown): 'gone' | 'unreadable' | undefined {
  if (fault instanceof BlobMissing) return 'gone';
  return lossCodes.includes(errorCode(fault) ?? '') ? 'unreadable' : undefined;
}

type ReadBlob = { readonly blob: FoundBlob; readonly digests: readonly Digest[] };

async function read(
  store: ReadableStore,
  key: string,
  algorithms: readonly DigestAlgorithm[],
): Promise<ReadBlob | 'gone' | 'unreadable'> {
  const hashes = algorithms.map((algorithm): [DigestAlgorithm, Hash] => [algorithm, createHash(algorithm)]);
  const checksums = new BlockChecksums();
  let sizeBytes = 0;
  try {
    for await (const chunk of store.read(key)) {
      for (const [, hash] of hashes) hash.update(chunk);
      checksums.update(chunk);
      sizeBytes += chunk.length;
    }
  } catch (error) {
    const loss = lossOf(error);
    if (loss === undefined) throw error;
    return loss;
  }
  const digests = hashes.map(([algorithm, hash]) => digestOf(algorithm, hash.digest('hex')));
  return { blob: { key, sizeBytes, checksums: checksums.finish() }, digests };
}
