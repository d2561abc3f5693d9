import type { Clock } from '../clock.ts';
import type { ByteRange } from './blob-store.ts';
import { type Blocks, blockBytes } from './file-reader.ts';

/** Breaks in a row without a byte between them. */
const maxBreaks = 4;
const firstPauseMs = 100;

/** An answer of the store. */
export type StoreAnswer = {
  /** Nobody else reads what is in the memory of its chunks, but other chunks before: it is freed once the last of them is read. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Where the store says how many come. */
  readonly lengthBytes: number | undefined;
};

export type ResumedRead = {
  readonly range: ByteRange | undefined;
  readonly clock: Clock;
  readonly blocks: Blocks;
  /** Opens the object from `start`, to `end` where it is given. Its own faults, after its own retries, pass through. */
  readonly open: (start: number, end: number | undefined) => Promise<StoreAnswer>;
};

/** A block that is being filled: `length` bytes belong into it. */
type Filling = { readonly memory: Buffer; readonly length: number; used: number };

/**
 * Reads a range of an object that never changes, in chunks that end at block boundaries; an answer that breaks in the middle is asked
 * for again from there on. What arrives is copied at once into memory of `blocks`, which goes back when the next chunk is asked for:
 * readers that stall hold a block each, and not the many small pieces that came from a socket.
 */
export async function* resumedRead({ range, clock, blocks, open }: ResumedRead): AsyncGenerator<Uint8Array> {
  let position = range?.start ?? 0;
  const end = range?.end;
  let filling: Filling | undefined;
  let breaks = 0;
  try {
    while (end === undefined || position < end) {
      const { bytes, lengthBytes } = await open(position, end);
      const from = position;
      const last = lengthBytes === undefined ? undefined : from + lengthBytes;
      const until = last === undefined ? end : Math.min(last, end ?? last);
      try {
        for await (const chunk of bytes) {
          for (let at = 0; at < chunk.length && position !== until; ) {
            filling ??= begun(blocks, position, until);
            const taken = filled(filling, chunk.subarray(at));
            at += taken;
            position += taken;
            if (filling.used < filling.length) continue;
            yield filling.memory.subarray(0, filling.length);
            blocks.give(filling.memory);
            filling = undefined;
          }
          free(chunk);
          // A store that knows of no ranges would go on to the end of the object. Where the answer ends here too it is read to its
          // end: its connection can be used again.
          if (position === end && last !== end) return;
        }
        if (filling !== undefined) yield filling.memory.subarray(0, filling.used);
        return;
      } catch (cause) {
        breaks = position > from ? 1 : breaks + 1;
        if (breaks > maxBreaks) throw cause;
        await clock.sleep(firstPauseMs * 2 ** breaks);
      }
    }
  } finally {
    if (filling !== undefined) blocks.give(filling.memory);
  }
}

/** Of a store that has nothing in the range. */
export function emptyAnswer(): StoreAnswer {
  return { bytes: noBytes(), lengthBytes: 0 };
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

/** Up to the next block boundary or `end`, so that a small object takes no more memory than it has bytes. */
function begun(blocks: Blocks, position: number, end: number | undefined): Filling {
  const boundary = (Math.floor(position / blockBytes) + 1) * blockBytes;
  const length = Math.min(end ?? boundary, boundary) - position;
  return { memory: blocks.take(length), length, used: 0 };
}

/**
 * At once: until a collection, what many readers have read would be far more than what they hold. What came before the chunk in the same
 * memory, headers mostly, is read already. Chunks shorter than half of it may lie in the memory that Node shares among small buffers.
 */
function free({ buffer, byteOffset, byteLength }: Uint8Array): void {
  const isLast = byteOffset + byteLength === buffer.byteLength;
  if (buffer instanceof ArrayBuffer && isLast && byteLength > buffer.byteLength / 2) buffer.transfer(0);
}

/** How much of the chunk went in. */
function filled(filling: Filling, chunk: Uint8Array): number {
  const part = chunk.subarray(0, filling.length - filling.used);
  filling.memory.set(part, filling.used);
  filling.used += part.length;
  return part.length;
}
