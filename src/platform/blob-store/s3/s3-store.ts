import type { Clock } from '../../clock.ts';
import type { Ids } from '../../ids.ts';
import {
  BlobMissing,
  type BlobStore,
  type ByteRange,
  type PartPlace,
  type PartToken,
  type ReadOptions,
  type StorageKey,
  type StoredPart,
  type StoreEntry,
  type StoreHandle,
} from '../blob-store.ts';
import { type Blocks, createReusedBlocks, freshBlocks } from '../file-reader.ts';
import { MemoryBudget } from '../memory-budget.ts';
import { resumedRead } from '../resumed-read.ts';
import { sendPieces } from '../send-pieces.ts';
import { markOf, type StoreMark } from '../store-mark.ts';
import type { StoreNotes } from '../store-notes.ts';
import { slotAt, slotsFrom } from './part-slots.ts';
import { type Tail, type Unfinished, unfinishedOf, writeToken } from './part-token.ts';
import type { NamedPart, S3Bucket } from './s3-bucket.ts';
import { s3Fault, wasTriedBefore } from './s3-fault.ts';
import type { S3Layout } from './s3-layout.ts';
import { s3Notes } from './s3-notes.ts';

const keyBytes = 16;
const noBytes = new Uint8Array(0);

export type S3StoreOptions = {
  readonly bucket: S3Bucket;
  readonly layout: S3Layout;
  readonly ids: Ids;
  readonly clock: Clock;
};

/**
 * Keeps blobs in a bucket. A handle is the blob's key. Whole slots of an unfinished blob (`slotAt`) are parts of a multipart upload
 * by the blob's own name; what is left over, too short for a part of S3, waits in an object of its own and comes before the next
 * chunk, so chunks may have any length. Parts cannot be read before an upload is complete: to read an unfinished blob it is sealed,
 * which completes the upload and leaves a mark that says so. A sealed blob takes no more parts.
 */
export class S3Store implements BlobStore {
  readonly minPartBytes = 0;
  readonly notes: StoreNotes;
  readonly #bucket: S3Bucket;
  readonly #layout: S3Layout;
  readonly #ids: Ids;
  readonly #clock: Clock;
  readonly #budget: MemoryBudget;
  readonly #reusedBlocks = createReusedBlocks();

  constructor({ bucket, layout, ids, clock }: S3StoreOptions) {
    this.#bucket = bucket;
    this.#layout = layout;
    this.#ids = ids;
    this.#clock = clock;
    this.#budget = new MemoryBudget(clock);
    this.notes = s3Notes(bucket, layout);
  }

  readonly begin = async (): Promise<StoreHandle> => Buffer.from(this.#ids.bytes(keyBytes)).toString('hex');

  readonly keyOf = (handle: StoreHandle): StorageKey => handle;

  readonly part = (handle: StoreHandle, place: PartPlace, bytes: AsyncIterable<Uint8Array>): Promise<StoredPart> =>
    translated(async () => {
      const { start } = slotAt(place.offset);
      const first = start === place.offset ? noBytes : await this.#readTail(handle, start, place.offset - start);
      const upload = new LazyUpload(this.#bucket, this.#layout.blob(handle), start === 0);
      const slots = slotsFrom(start);
      let tail: Tail = { start, sizeBytes: 0, etag: '' };
      const send = async (piece: Uint8Array, index: number) => {
        const slot = slots(index);
        if (piece.length < slot.sizeBytes) {
          tail = await this.#writeTail(handle, slot.start, piece);
          return [];
        }
        tail = { start: slot.start + slot.sizeBytes, sizeBytes: 0, etag: '' };
        return [{ ...(await upload.put(slot.number, piece)), sizeBytes: piece.length }];
      };
      const lengthOf = (index: number) => slots(index).sizeBytes;
      const stored = (await sendPieces(bytes, { first, lengthOf, budget: this.#budget, send })).flat();
      if (stored.length === 0 && tail.sizeBytes === 0) tail = await this.#writeTail(handle, start, first);
      const end = stored.reduce((total, part) => total + part.sizeBytes, start) + tail.sizeBytes;
      const sizeBytes = end - place.offset;
      const kept = stored.length > 0 && tail.sizeBytes === 0 ? undefined : tail;
      return { token: writeToken({ uploadId: upload.id, parts: stored, tail: kept, sizeBytes }), sizeBytes };
    });

  async *readUnfinished(handle: StoreHandle, tokens: readonly PartToken[]): AsyncGenerator<Uint8Array> {
    const unfinished = unfinishedOf(tokens);
    const { tail, sizeBytes } = unfinished;
    if (unfinished.parts.length > 0) await translated(() => this.#seal(handle, unfinished));
    const name =
      unfinished.parts.length > 0
        ? this.#layout.blob(handle)
        : this.#layout.tail(handle, tail?.start ?? 0, tail?.sizeBytes ?? 0);
    // An empty object answers no range, and is to be there all the same.
    yield* this.#read(name, sizeBytes === 0 ? undefined : { start: 0, end: sizeBytes });
  }

  readonly unfinishedBytes = (handle: StoreHandle, tokens: readonly PartToken[]): Promise<number> =>
    translated(async () => {
      const { uploadId, parts, tail, sizeBytes } = unfinishedOf(tokens);
      const held = uploadId === '' ? [] : await this.#bucket.parts(this.#layout.blob(handle), uploadId);
      if (held === undefined) return (await this.#sealedBytes(handle)) >= sizeBytes ? sizeBytes : 0;
      const etags = new Map(held.map((part) => [part.number, part.etag]));
      let total = 0;
      for (const part of parts) {
        if (etags.get(part.number) !== part.etag) return total;
        total += part.sizeBytes;
      }
      if (tail === undefined) return total;
      const tailBytes = await this.#bucket.sizeOf(this.#layout.tail(handle, tail.start, tail.sizeBytes));
      return total + (tailBytes ?? 0);
    });

  readonly complete = (handle: StoreHandle, tokens: readonly PartToken[]): Promise<StorageKey> =>
    translated(async () => {
      const unfinished = unfinishedOf(tokens);
      const { tail, oldTails } = unfinished;
      if (unfinished.parts.length === 0) await this.#finishTail(handle, tail);
      else await this.#finishUpload(handle, unfinished);
      const leftovers = [...oldTails, ...(tail === undefined ? [] : [tail])];
      const names = leftovers.map(({ start, sizeBytes }) => this.#layout.tail(handle, start, sizeBytes));
      if (names.length > 0) await this.#bucket.removeMany([...new Set(names)]);
      return handle;
    });

  readonly abort = (handle: StoreHandle): Promise<void> =>
    translated(async () => {
      const name = this.#layout.blob(handle);
      for await (const upload of this.#bucket.uploads(name)) await this.#bucket.abortUpload(name, upload.uploadId);
      const names = [];
      for await (const entry of this.#bucket.list(this.#layout.incoming(handle))) names.push(entry.name);
      // The mark goes last: with it the blob is still known as unfinished after a crash.
      if (names.includes(this.#layout.seal(handle))) await this.#bucket.removeMany([name]);
      if (names.length > 0) await this.#bucket.removeMany(names);
    });

  read(key: StorageKey, range?: ByteRange, { mayReuse = false }: ReadOptions = {}): AsyncIterable<Uint8Array> {
    return this.#read(this.#layout.blob(key), range, mayReuse ? this.#reusedBlocks : freshBlocks);
  }

  readonly removeMany = (keys: readonly StorageKey[]): Promise<void> =>
    translated(() => this.#bucket.removeMany(keys.map((key) => this.#layout.blob(key))));

  list(prefix: string): AsyncIterable<StoreEntry> {
    return translatedStream(this.#list(prefix));
  }

  async *#list(prefix: string): AsyncGenerator<StoreEntry> {
    const unfinished = await this.#listUnfinished(prefix);
    yield* unfinished.values();
    for await (const { name, sizeBytes, modifiedMicros } of this.#bucket.list(this.#layout.blobs(prefix))) {
      const meaning = this.#layout.meaningOf(name);
      if (meaning?.kind !== 'blob' || unfinished.has(meaning.key)) continue;
      yield { key: meaning.key, sizeBytes, modifiedMicros, handle: undefined };
    }
  }

  readonly check = (): Promise<void> =>
    translated(async () => {
      await this.#bucket.put(this.#layout.check(), noBytes);
    });

  /** Whose store this is. */
  readonly mark: StoreMark = {
    read: async () => {
      const chunks: Uint8Array[] = [];
      try {
        for await (const chunk of this.#read(this.#layout.mark(), undefined)) chunks.push(chunk);
      } catch (cause) {
        if (cause instanceof BlobMissing) return undefined;
        throw cause;
      }
      return markOf(Buffer.concat(chunks));
    },
    write: (owner) =>
      translated(async () => {
        await this.#bucket.put(this.#layout.mark(), Buffer.from(owner));
      }),
  };

  async *#read(name: string, range: ByteRange | undefined, blocks: Blocks = freshBlocks): AsyncGenerator<Uint8Array> {
    const open = (start: number, end: number | undefined) => this.#bucket.get(name, start, end);
    yield* translatedStream(resumedRead({ range, clock: this.#clock, blocks, open }));
  }

  async #readTail(handle: StoreHandle, start: number, heldBytes: number): Promise<Uint8Array> {
    const name = this.#layout.tail(handle, start, heldBytes);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#read(name, { start: 0, end: heldBytes })) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (bytes.length !== heldBytes) throw new BlobMissing(`an unfinished blob holds too few bytes from ${start} on`);
    return bytes;
  }

  async #writeTail(handle: StoreHandle, start: number, bytes: Uint8Array): Promise<Tail> {
    const etag = await this.#bucket.put(this.#layout.tail(handle, start, bytes.length), bytes);
    return { start, sizeBytes: bytes.length, etag };
  }

  async #finishTail(handle: StoreHandle, tail: Tail | undefined): Promise<void> {
    if (tail === undefined) throw new BlobMissing('an unfinished blob has no parts');
    await this.#bucket.copy(
      this.#layout.tail(handle, tail.start, tail.sizeBytes),
      tail.etag,
      this.#layout.blob(handle),
    );
  }

  /** A sealed blob has only its mark to lose. */
  async #finishUpload(handle: StoreHandle, unfinished: Unfinished): Promise<void> {
    try {
      await this.#completeUpload(handle, unfinished);
    } catch (cause) {
      if (!(cause instanceof BlobMissing)) throw cause;
      if (wasTriedBefore(cause) && (await this.#sizeOf(handle)) === unfinished.sizeBytes) return;
      if ((await this.#sealedBytes(handle)) !== unfinished.sizeBytes) throw cause;
      await this.#bucket.removeMany([this.#layout.seal(handle)]);
    }
  }

  async #completeUpload(handle: StoreHandle, { uploadId, parts, tail }: Unfinished): Promise<void> {
    const name = this.#layout.blob(handle);
    const all: NamedPart[] = [...parts];
    if (tail !== undefined && tail.sizeBytes > 0) {
      const { number } = slotAt(tail.start);
      const from = this.#layout.tail(handle, tail.start, tail.sizeBytes);
      all.push(await this.#bucket.copyPart(name, uploadId, { number, from, etag: tail.etag }));
    }
    await this.#bucket.completeUpload(name, uploadId, all);
  }

  /** The mark is there before the blob is, and only while the upload is: a finished blob never gets one. */
  async #seal(handle: StoreHandle, unfinished: Unfinished): Promise<void> {
    if ((await this.#sealedBytes(handle)) >= unfinished.sizeBytes) return;
    const held = await this.#bucket.parts(this.#layout.blob(handle), unfinished.uploadId);
    if (held === undefined) throw new BlobMissing('the parts of an unfinished blob are gone');
    await this.#bucket.put(this.#layout.seal(handle), noBytes);
    await this.#completeUpload(handle, unfinished);
  }

  /** -1 when it is not sealed. */
  async #sealedBytes(handle: StoreHandle): Promise<number> {
    if ((await this.#bucket.sizeOf(this.#layout.seal(handle))) === undefined) return -1;
    return (await this.#sizeOf(handle)) ?? -1;
  }

  async #sizeOf(key: StorageKey): Promise<number | undefined> {
    return await this.#bucket.sizeOf(this.#layout.blob(key));
  }

  async #listUnfinished(prefix: string): Promise<Map<StorageKey, StoreEntry>> {
    const found = new Map<StorageKey, StoreEntry>();
    const add = (key: StorageKey, sizeBytes: number, modifiedMicros: number) => {
      const before = found.get(key);
      found.set(key, {
        key,
        handle: key,
        sizeBytes: Math.max(before?.sizeBytes ?? 0, sizeBytes),
        modifiedMicros: Math.max(before?.modifiedMicros ?? 0, modifiedMicros),
      });
    };
    for await (const { name, modifiedMicros } of this.#bucket.list(this.#layout.incoming(prefix))) {
      const meaning = this.#layout.meaningOf(name);
      if (meaning !== undefined) add(meaning.key, meaning.kind === 'tail' ? meaning.end : 0, modifiedMicros);
    }
    for await (const { name, uploadId, begunMicros } of this.#bucket.uploads(this.#layout.blobs(prefix))) {
      const meaning = this.#layout.meaningOf(name);
      if (meaning === undefined) continue;
      const parts = (await this.#bucket.parts(name, uploadId)) ?? [];
      add(
        meaning.key,
        parts.reduce((total, part) => total + part.sizeBytes, 0),
        begunMicros,
      );
    }
    return found;
  }
}

/** The multipart upload of one blob, begun when its first part comes. */
class LazyUpload {
  readonly #bucket: S3Bucket;
  readonly #name: string;
  readonly #isFirst: boolean;
  #opening: Promise<string> | undefined;
  #id = '';

  constructor(bucket: S3Bucket, name: string, isFirst: boolean) {
    this.#bucket = bucket;
    this.#name = name;
    this.#isFirst = isFirst;
  }

  /** Empty while there are no parts. */
  get id(): string {
    return this.#id;
  }

  async put(number: number, bytes: Uint8Array): Promise<NamedPart> {
    this.#opening ??= this.#open();
    this.#id = await this.#opening;
    return await this.#bucket.putPart(this.#name, this.#id, number, bytes);
  }

  /** An upload that a failed first chunk left behind makes room, so that there is never more than one. */
  async #open(): Promise<string> {
    for await (const { name, uploadId } of this.#bucket.uploads(this.#name)) {
      if (name !== this.#name) continue;
      if (!this.#isFirst) return uploadId;
      await this.#bucket.abortUpload(name, uploadId);
    }
    if (!this.#isFirst) throw new BlobMissing('the parts of an unfinished blob are gone');
    return await this.#bucket.createUpload(this.#name);
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw s3Fault(cause);
  }
}

async function* translatedStream<T>(stream: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (cause) {
    throw s3Fault(cause);
  }
}
