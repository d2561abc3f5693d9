import { fstatSync, read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import type { ByteRange } from './blob-store.ts';

const read = promisify(readCallback);

/** Reads end at multiples of this many bytes: the blocks that checksums are kept of. */
const blockBytes = 1024 * 1024;

/**
 * Yields a range of an open file in chunks that end at block boundaries, reading one block ahead. Each chunk is a buffer
 * of its own. A file that ends before the range does ends the stream early.
 */
export async function* readStream(fd: number, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
  const size = fstatSync(fd).size;
  const end = Math.min(range?.end ?? size, size);
  let position = range?.start ?? 0;
  const ahead = () => {
    const block = readBlock(fd, position, end);
    // Awaited at the next pull; without this a fault while the consumer pauses would count as unhandled.
    block.catch(() => {});
    return block;
  };
  let next = ahead();
  try {
    while (position < end) {
      const chunk = await next;
      if (chunk.byteLength === 0) return;
      position += chunk.byteLength;
      next = ahead();
      yield chunk;
    }
  } finally {
    // The descriptor must not be closed while a read is under way.
    await next.catch(() => {});
  }
}

async function readBlock(fd: number, position: number, end: number): Promise<Uint8Array> {
  if (position >= end) return new Uint8Array();
  const blockEnd = Math.min(end, (Math.floor(position / blockBytes) + 1) * blockBytes);
  const buffer = Buffer.allocUnsafeSlow(blockEnd - position);
  const { bytesRead } = await read(fd, buffer, 0, buffer.byteLength, position);
  return buffer.subarray(0, bytesRead);
}
