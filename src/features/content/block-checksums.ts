import { crc32 } from 'node:zlib';

/** Bytes; each block of a stored blob has its own CRC-32, so that a read checks what it is about to send. */
export const blockBytes = 256 * 1024;
const checksumBytes = 4;

/** CRC-32 of each block, gathered while bytes arrive in chunks of any length. */
export class BlockChecksums {
  #finished = Buffer.alloc(16 * checksumBytes);
  #count = 0;
  #open = 0;
  #openLength = 0;

  update(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      const part = rest.subarray(0, blockBytes - this.#openLength);
      this.#open = crc32(part, this.#open);
      this.#openLength += part.length;
      rest = rest.subarray(part.length);
      if (this.#openLength === blockBytes) this.#close();
    }
  }

  /** Four bytes a block, big-endian; the last block may be short. Nothing may follow. */
  finish(): Uint8Array {
    if (this.#openLength > 0) this.#close();
    return this.#finished.subarray(0, this.#count * checksumBytes);
  }

  #close(): void {
    const needed = (this.#count + 1) * checksumBytes;
    if (needed > this.#finished.length) {
      const larger = Buffer.alloc(Math.max(needed, this.#finished.length * 2));
      this.#finished.copy(larger);
      this.#finished = larger;
    }
    this.#finished.writeUInt32BE(this.#open, this.#count * checksumBytes);
    this.#count += 1;
    this.#open = 0;
    this.#openLength = 0;
  }
}

/** Bytes that are not those that were stored. */
export class BlockMismatch extends Error {}

/**
 * Passes on `bytes`, which start at a block boundary, holding each block back until its checksum is right.
 * Throws BlockMismatch at the first wrong or short block; `lengthBytes` is what must come.
 */
export async function* checkedBlocks(
  bytes: AsyncIterable<Uint8Array>,
  expected: { readonly checksums: Uint8Array; readonly firstBlock: number; readonly lengthBytes: number },
): AsyncGenerator<Uint8Array> {
  const checksums = Buffer.from(
    expected.checksums.buffer,
    expected.checksums.byteOffset,
    expected.checksums.byteLength,
  );
  let block = expected.firstBlock;
  let held: Uint8Array[] = [];
  let heldLength = 0;
  let checksum = 0;
  let left = expected.lengthBytes;
  for await (const chunk of bytes) {
    let rest = chunk;
    while (rest.length > 0) {
      const wanted = Math.min(blockBytes, left) - heldLength;
      const part = rest.subarray(0, wanted);
      rest = rest.subarray(part.length);
      checksum = crc32(part, checksum);
      heldLength += part.length;
      const isWhole = heldLength === Math.min(blockBytes, left);
      // A chunk is good until the next one is asked for; what waits for the rest of its block is copied.
      held.push(isWhole ? part : Uint8Array.from(part));
      if (!isWhole) continue;
      if (part.length === 0 || checksum !== checksums.readUInt32BE(block * checksumBytes)) throw new BlockMismatch();
      yield* held;
      left -= heldLength;
      block += 1;
      held = [];
      heldLength = 0;
      checksum = 0;
    }
  }
  if (left !== 0) throw new BlockMismatch();
}
