import { fstatSync, read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import type { ByteRange } from './blob-store.ts';

const read = promisify(readCallback);

/** Reads end at multiples of this many bytes: the blocks that checksums are kept of. */
export const blockBytes = 256 * 1024;
const maxFreeBlocks = 128;
/** Fewer bytes than these get memory of their own length: a reader of a small blob that stalls holds its bytes, not a block. */
const smallBytes = 64 * 1024;
/** With more streams than this a block is read only when it is asked for: readers that stall hold one block each, not two. */
const maxReadingAhead = 64;

/** Where blocks are read into. */
export type Blocks = {
  /** Memory for at least so many bytes, at most a block. */
  readonly take: (sizeBytes: number) => Buffer;
  readonly give: (memory: Buffer) => void;
  /** Whether there is memory for a block that nobody has asked for yet. */
  readonly mayReadAhead: () => boolean;
};

/** Memory that the consumer keeps. */
export const freshBlocks: Blocks = {
  take: (sizeBytes) => Buffer.allocUnsafeSlow(sizeBytes),
  give: () => {},
  mayReadAhead: () => true,
};

/** Memory that is used again: new pages and their collection cost more than reading into them. */
export function createReusedBlocks(): Blocks {
  const free: Buffer[] = [];
  let taken = 0;
  return {
    take: (sizeBytes) => {
      if (sizeBytes < smallBytes) return Buffer.allocUnsafeSlow(sizeBytes);
      taken += 1;
      return free.pop() ?? Buffer.allocUnsafeSlow(blockBytes);
    },
    give: (memory) => {
      if (memory.length < blockBytes) return;
      taken -= 1;
      if (free.length < maxFreeBlocks) free.push(memory);
    },
    mayReadAhead: () => taken < maxReadingAhead,
  };
}

/**
 * Yields a range of an open file in chunks that end at block boundaries, reading one block ahead while memory is plentiful. A chunk's memory goes back
 * to `blocks` when the next one is asked for. A file that ends before the range does ends the stream early.
 */
export async function* readStream(
  fd: number,
  range: ByteRange | undefined,
  blocks: Blocks,
): AsyncGenerator<Uint8Array> {
  const size = fstatSync(fd).size;
  const end = Math.min(range?.end ?? size, size);
  let position = range?.start ?? 0;
  const begin = () => {
    const reading = readBlock(fd, position, end, blocks);
    // Awaited at the next pull; without this a fault while the consumer pauses would count as unhandled.
    reading.catch(() => {});
    return reading;
  };
  let ahead: Promise<Read | undefined> | undefined;
  try {
    for (let read = await begin(); read !== undefined; read = await (ahead ?? begin())) {
      position += read.chunk.length;
      ahead = blocks.mayReadAhead() ? begin() : undefined;
      try {
        yield read.chunk;
      } finally {
        blocks.give(read.memory);
      }
    }
  } finally {
    // The file must not be closed, nor the memory used again, while a read is under way.
    const unused = await ahead?.catch(() => undefined);
    if (unused !== undefined) blocks.give(unused.memory);
  }
}

type Read = { readonly memory: Buffer; readonly chunk: Uint8Array };

/** Up to the next block boundary or `end`; undefined when there is nothing left. */
async function readBlock(fd: number, position: number, end: number, blocks: Blocks): Promise<Read | undefined> {
  if (position >= end) return undefined;
  const length = Math.min(end, (Math.floor(position / blockBytes) + 1) * blockBytes) - position;
  const memory = blocks.take(length);
  try {
    const { bytesRead } = await read(fd, memory, 0, length, position);
    if (bytesRead > 0) return { memory, chunk: memory.subarray(0, bytesRead) };
  } catch (cause) {
    blocks.give(memory);
    throw cause;
  }
  blocks.give(memory);
  return undefined;
}
