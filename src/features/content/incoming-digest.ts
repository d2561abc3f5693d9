import { createHash, type Hash } from 'node:crypto';
import { type Digest, type DigestAlgorithm, digestOf } from '../../core/digest.ts';
import { BlockChecksums } from './block-checksums.ts';

/** Digest, block checksums and length of an upload, taken while its bytes pass. */
export class IncomingDigest {
  readonly algorithm: DigestAlgorithm;
  readonly checksums: BlockChecksums;
  readonly #hash: Hash;
  #sizeBytes = 0;

  constructor(algorithm: DigestAlgorithm) {
    this.algorithm = algorithm;
    this.checksums = new BlockChecksums();
    this.#hash = createHash(algorithm);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.checksums.update(chunk);
    this.#sizeBytes += chunk.length;
  }

  /** Ends the digest; the object is of no further use. */
  finish(): Digest {
    return digestOf(this.algorithm, this.#hash.digest('hex'));
  }

  static async of(algorithm: DigestAlgorithm, bytes: AsyncIterable<Uint8Array>): Promise<IncomingDigest> {
    const digest = new IncomingDigest(algorithm);
    for await (const chunk of bytes) digest.update(chunk);
    return digest;
  }
}
