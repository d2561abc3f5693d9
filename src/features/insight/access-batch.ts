import { promisify } from 'node:util';
import { zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { type AuditRecord, recordOfAccess } from './audit-record.ts';

/** One batch of the access log as the database has it. */
export type StoredBatch = { readonly stream: string; readonly seq: number; readonly bytes: Uint8Array };

/** Texts of which a line has one at least, when it is wanted. */
export type Needles = readonly string[];

const decompress = promisify(zstdDecompress);
/** What a batch becomes is made in one piece, where it is not uncommonly large: each piece waits for its turn. */
const usualRatio = 32;
/** What is small is opened sooner than another thread has begun. */
const smallBytes = 8 * 1024;
const leastChunkBytes = 16 * 1024;
const mostChunkBytes = 2 * 1024 * 1024;
const lineEnd = 0x0a;
/** Every line begins so, and goes on with digits. */
const lineStart = '{"at":';

/** The lines of a batch, without their ends. */
export function linesOfBatch(bytes: Uint8Array): string[] {
  return zstdDecompressSync(bytes).toString('utf8').split('\n');
}

/** The lines of a batch that hold all of the needles. */
export function recordsOfBatch({ stream, seq, bytes }: StoredBatch, needles: readonly string[] = []): AuditRecord[] {
  return linesOfBatch(bytes).flatMap((line, index) => {
    if (line === '' || !needles.every((needle) => line.includes(needle))) return [];
    return [recordOfAccess(line, positionOf(stream, seq, index))];
  });
}

/** A line that was looked at and not read. */
type Place = { readonly atMicros: number; readonly index: number; readonly start: number; readonly end: number };

/**
 * A batch of which few lines are wanted: only they are read. To read all lines takes longer than to look for some,
 * and the whole text is never made.
 */
export class AccessBatch {
  readonly #batch: StoredBatch;
  readonly #plain: Buffer;

  private constructor(batch: StoredBatch, plain: Buffer) {
    this.#batch = batch;
    this.#plain = plain;
  }

  static async open(batch: StoredBatch): Promise<AccessBatch> {
    const chunkSize = Math.min(Math.max(batch.bytes.byteLength * usualRatio, leastChunkBytes), mostChunkBytes);
    const isSmall = batch.bytes.byteLength <= smallBytes;
    const plain = isSmall
      ? zstdDecompressSync(batch.bytes, { chunkSize })
      : await decompress(batch.bytes, { chunkSize });
    return new AccessBatch(batch, plain);
  }

  /** Lines of this span of time, both ends included, in which each of the needles has one of its texts; newest first. */
  *newest(span: { readonly firstAtMicros: number; readonly lastAtMicros: number }, needles: readonly Needles[]) {
    const { stream, seq } = this.#batch;
    const idOf = ({ index }: Place) => positionOf(stream, seq, index);
    const places = this.#places(needles).filter(
      ({ atMicros }) => atMicros >= span.firstAtMicros && atMicros <= span.lastAtMicros,
    );
    // As pages are ordered: by time, and then by the id's text.
    places.sort((a, b) => b.atMicros - a.atMicros || (idOf(a) < idOf(b) ? 1 : -1));
    for (const place of places) yield recordOfAccess(this.#plain.toString('utf8', place.start, place.end), idOf(place));
  }

  #places([first, ...others]: readonly Needles[]): Place[] {
    if (first === undefined) return this.#allPlaces();
    const starts = new Set(first.flatMap((needle) => this.#startsOf(Buffer.from(needle))));
    const places: Place[] = [];
    let [line, index] = [0, 0];
    for (const start of [...starts].sort((a, b) => a - b)) {
      const end = this.#endOf(start);
      const text = this.#plain.subarray(start, end);
      if (!others.every((texts) => texts.some((needle) => text.includes(needle)))) continue;
      for (; line < start; index += 1) line = this.#endOf(line) + 1;
      places.push({ atMicros: timeAt(this.#plain, start), index, start, end });
    }
    return places;
  }

  #allPlaces(): Place[] {
    const places: Place[] = [];
    for (let start = 0, index = 0; start < this.#plain.length; index += 1) {
      const end = this.#endOf(start);
      if (end > start) places.push({ atMicros: timeAt(this.#plain, start), index, start, end });
      start = end + 1;
    }
    return places;
  }

  /** Where the lines begin that hold a text: to look through the whole batch at once is faster than line by line. */
  #startsOf(text: Buffer): number[] {
    const starts: number[] = [];
    for (let at = this.#plain.indexOf(text); at !== -1; at = this.#plain.indexOf(text, this.#endOf(at)))
      starts.push(this.#plain.lastIndexOf(lineEnd, at) + 1);
    return starts;
  }

  #endOf(start: number): number {
    const found = this.#plain.indexOf(lineEnd, start);
    return found === -1 ? this.#plain.length : found;
  }
}

/** Reads digit by digit: thousands of lines are looked at for a page. Throws when the line does not begin with its time. */
function timeAt(plain: Buffer, start: number): number {
  let micros = 0;
  let at = start + lineStart.length;
  for (; ; at += 1) {
    const digit = (plain[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    micros = micros * 10 + digit;
  }
  if (micros === 0) throw new TypeError('a line of the access log begins with its time');
  return micros;
}

function positionOf(stream: string, seq: number, index: number): string {
  return `${stream}/${seq}/${index}`;
}
