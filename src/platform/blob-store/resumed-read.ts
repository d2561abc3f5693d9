import type { Clock } from '../clock.ts';
import type { ByteRange } from './blob-store.ts';

/** Bytes; what readers of a store are promised of its chunks. */
const maxChunkBytes = 256 * 1024;
/** Breaks in a row without a byte between them. */
const maxBreaks = 4;
const firstPauseMs = 100;

export type ResumedRead = {
  readonly range: ByteRange | undefined;
  readonly clock: Clock;
  /** Opens the object from `start`, to `end` where it is given. Its own faults, after its own retries, pass through. */
  readonly open: (start: number, end: number | undefined) => Promise<AsyncIterable<Uint8Array>>;
};

/** Reads a range of an object that never changes; an answer that breaks in the middle is asked for again from there on. */
export async function* resumedRead({ range, clock, open }: ResumedRead): AsyncGenerator<Uint8Array> {
  let position = range?.start ?? 0;
  const end = range?.end;
  let breaks = 0;
  while (end === undefined || position < end) {
    const bytes = await open(position, end);
    const from = position;
    try {
      for await (const chunk of bytes) {
        for (let at = 0; at < chunk.length; at += maxChunkBytes) {
          const piece = chunk.subarray(at, at + maxChunkBytes);
          position += piece.length;
          yield piece;
        }
      }
      return;
    } catch (cause) {
      breaks = position > from ? 1 : breaks + 1;
      if (breaks > maxBreaks) throw cause;
      await clock.sleep(firstPauseMs * 2 ** breaks);
    }
  }
}
