import { writev as writevCallback } from 'node:fs';
import { promisify } from 'node:util';

const writev = promisify(writevCallback);

/** Bytes gathered before they are written with one call. */
const blockBytes = 1024 * 1024;

/**
 * Appends a stream to an open file from `offset`. While one block is being written the next is taken from the stream, so a
 * producer that hashes works beside the disk; never more than two blocks are held. Chunks must stay unchanged once yielded.
 * Returns the bytes written. `afterBlock` is awaited when a block is written.
 */
export async function writeStream(
  fd: number,
  offset: number,
  chunks: AsyncIterable<Uint8Array>,
  afterBlock: () => Promise<void>,
): Promise<number> {
  let position = offset;
  let block: Uint8Array[] = [];
  let blockSize = 0;
  let writing = Promise.resolve();
  const writeBlock = async () => {
    await writing;
    writing = writeFully(fd, block, position).then(afterBlock);
    // Awaited before the next block and at the end; without this a fault while the producer pauses would count as unhandled.
    writing.catch(() => {});
    position += blockSize;
    block = [];
    blockSize = 0;
  };
  try {
    for await (const chunk of chunks) {
      if (chunk.byteLength === 0) continue;
      block.push(chunk);
      blockSize += chunk.byteLength;
      if (blockSize >= blockBytes) await writeBlock();
    }
    if (blockSize > 0) await writeBlock();
  } finally {
    // The descriptor must not be closed, and its number given to another file, while a write is under way.
    await writing.catch(() => {});
  }
  await writing;
  return position - offset;
}

/** Goes on after a short write, which is what a disk gives that fills up in the middle. */
async function writeFully(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let rest = buffers;
  let at = position;
  while (rest.length > 0) {
    const { bytesWritten } = await writev(fd, rest, at);
    if (bytesWritten === 0) throw new Error('the disk accepted no bytes');
    at += bytesWritten;
    rest = dropBytes(rest, bytesWritten);
  }
}

function dropBytes(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count;
  return buffers.flatMap((buffer) => {
    const dropped = Math.min(left, buffer.byteLength);
    left -= dropped;
    return dropped === buffer.byteLength ? [] : [buffer.subarray(dropped)];
  });
}
