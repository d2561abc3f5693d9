import { createHash, type Hash } from 'node:crypto';
import { type DigestAlgorithm, digestOf } from '../../core/digest.ts';
import { BlockChecksums } from '../../features/content/block-checksums.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { FoundContent } from './found-content.ts';

/** Told now and then while blobs are read. */
export type ScanProgress = (done: { readonly blobs: number; readonly bytes: number }) => void;
export type ScanAccount = { readonly blobs: number; readonly bytes: number; readonly unfinished: number };

/** Blobs that are read at once. */
const width = 4;
const progressEvery = 1_000;

/** Reads every blob of a store: which digests are there is known by their bytes alone. */
export async function scanBlobs(store: BlobStore, found: FoundContent, progress: ScanProgress): Promise<ScanAccount> {
  const algorithms: DigestAlgorithm[] = found.wants('sha512') ? ['sha256', 'sha512'] : ['sha256'];
  const entries = store.list('')[Symbol.asyncIterator]();
  let [blobs, bytes, unfinished] = [0, 0, 0];
  const work = async () => {
    for (let next = await entries.next(); next.done !== true; next = await entries.next()) {
      const { key, handle } = next.value;
      if (handle !== undefined) {
        unfinished += 1;
        continue;
      }
      const sizeBytes = await scan(store, key, algorithms, found);
      blobs += 1;
      bytes += sizeBytes;
      if (blobs % progressEvery === 0) progress({ blobs, bytes });
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return { blobs, bytes, unfinished };
}

async function scan(
  store: BlobStore,
  key: string,
  algorithms: readonly DigestAlgorithm[],
  found: FoundContent,
): Promise<number> {
  const hashes = algorithms.map((algorithm): [DigestAlgorithm, Hash] => [algorithm, createHash(algorithm)]);
  const checksums = new BlockChecksums();
  let sizeBytes = 0;
  for await (const chunk of store.read(key)) {
    for (const [, hash] of hashes) hash.update(chunk);
    checksums.update(chunk);
    sizeBytes += chunk.length;
  }
  const digests = hashes.map(([algorithm, hash]) => digestOf(algorithm, hash.digest('hex')));
  found.addBlob({ key, sizeBytes, checksums: checksums.finish() }, digests);
  return sizeBytes;
}
