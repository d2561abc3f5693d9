import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BlobMissing, type BlobStore, type ByteRange, type StorageKey, type StoreEntry } from './blob-store.ts';

/** Gives the suite a store of its own. Two instances opened from one world see the same bytes, as two processes would. */
export type StoreWorld = {
  readonly open: () => Promise<BlobStore>;
  readonly close: () => Promise<void>;
};

const mebibyte = 1024 * 1024;

/** What every blob store must do. `newWorld` makes an empty place for bytes. */
export function blobStoreSuite(name: string, newWorld: () => Promise<StoreWorld>): void {
  describe(`blob store: ${name}`, () => {
    let world: StoreWorld;
    let store: BlobStore;
    before(async () => {
      world = await newWorld();
      store = await world.open();
    });
    after(() => world.close());

    for (const size of [0, 1, 200, 65_536, mebibyte - 1, mebibyte, mebibyte + 1, 5 * mebibyte + 17]) {
      test(`a blob of ${size} bytes reads back as it was written`, async () => {
        const bytes = sample(size);
        const key = await put(store, bytes);
        assert.deepEqual(await collect(store.read(key)), bytes);
      });
    }

    test('the key a handle will get is known before the blob is complete, and each is new', async () => {
      const handles = await Promise.all(Array.from({ length: 50 }, () => store.begin()));
      const keys = handles.map((handle) => store.keyOf(handle));
      assert.equal(new Set(keys).size, 50);
      const [handle = '', key = ''] = [handles[0], keys[0]];
      const part = await store.part(handle, { number: 1, offset: 0 }, chunked(sample(10)));
      assert.equal(await store.complete(handle, [part.token]), key);
    });

    test('an unfinished blob is not read as a finished one', async () => {
      const handle = await store.begin();
      await store.part(handle, { number: 1, offset: 0 }, chunked(sample(10)));
      await assert.rejects(collect(store.read(store.keyOf(handle))), BlobMissing);
    });

    test('parts make one blob in their order, also when other instances go on with the handle', async () => {
      const partBytes = Math.max(store.minPartBytes, 300_000);
      const bytes = sample(3 * partBytes + 11);
      const handle = await store.begin();
      const tokens: string[] = [];
      for (let offset = 0; offset < bytes.length; offset += partBytes) {
        const other = await world.open();
        const place = { number: tokens.length + 1, offset };
        const part = await other.part(handle, place, chunked(bytes.subarray(offset, offset + partBytes)));
        assert.equal(part.sizeBytes, Math.min(partBytes, bytes.length - offset));
        tokens.push(part.token);
      }
      const last = await world.open();
      assert.equal(await last.unfinishedBytes(handle, tokens), bytes.length);
      assert.deepEqual(await collect(last.readUnfinished(handle, tokens)), bytes);
      assert.deepEqual(await collect(store.read(await last.complete(handle, tokens))), bytes);
    });

    test('bytes of a part that failed do not count', async () => {
      const first = sample(Math.max(store.minPartBytes, 100_000));
      const handle = await store.begin();
      const part = await store.part(handle, { number: 1, offset: 0 }, chunked(first));
      const broken = store.part(handle, { number: 2, offset: first.length }, cutOff(sample(3 * mebibyte)));
      await assert.rejects(broken, /the client is gone/);
      assert.equal(await store.unfinishedBytes(handle, [part.token]), first.length);
      const second = await store.part(handle, { number: 2, offset: first.length }, chunked(sample(7)));
      const key = await store.complete(handle, [part.token, second.token]);
      assert.deepEqual(await collect(store.read(key)), Buffer.concat([first, sample(7)]));
    });

    test('a part whose answer was lost can be left out, or sent again', async () => {
      const handle = await store.begin();
      await store.part(handle, { number: 1, offset: 0 }, chunked(sample(5000)));
      const again = await store.part(handle, { number: 1, offset: 0 }, chunked(sample(300)));
      assert.deepEqual(await collect(store.read(await store.complete(handle, [again.token]))), sample(300));
    });

    test('a blob whose unfinished bytes are lost cannot be completed', async () => {
      const handle = await store.begin();
      const part = await store.part(handle, { number: 1, offset: 0 }, chunked(sample(500)));
      await store.abort(handle);
      assert.equal(await store.unfinishedBytes(handle, [part.token]), 0);
      await assert.rejects(store.complete(handle, [part.token]), BlobMissing);
      await assert.rejects(collect(store.readUnfinished(handle, [part.token])), BlobMissing);
      await assert.rejects(store.part(handle, { number: 2, offset: 500 }, chunked(sample(1))), BlobMissing);
      await store.abort(handle);
      await assert.rejects(collect(store.read(store.keyOf(handle))), BlobMissing);
    });

    test('completing twice fails and leaves the blob', async () => {
      const handle = await store.begin();
      const part = await store.part(handle, { number: 1, offset: 0 }, chunked(sample(500)));
      const key = await store.complete(handle, [part.token]);
      await assert.rejects(store.complete(handle, [part.token]), BlobMissing);
      assert.deepEqual(await collect(store.read(key)), sample(500));
    });

    test('a range gives exactly its bytes, in chunks of at most 1 MiB', async () => {
      const bytes = sample(3 * mebibyte + 5);
      const key = await put(store, bytes);
      const ranges: ByteRange[] = [
        { start: 0, end: 1 },
        { start: 0, end: bytes.length },
        { start: mebibyte - 1, end: mebibyte + 1 },
        { start: mebibyte, end: 2 * mebibyte },
        { start: 100, end: 2 * mebibyte + 100 },
        { start: bytes.length - 1, end: bytes.length },
        { start: 7, end: 7 },
      ];
      for (const range of ranges) {
        for await (const chunk of store.read(key, range)) assert.ok(chunk.byteLength <= mebibyte);
        assert.deepEqual(await collect(store.read(key, range)), bytes.subarray(range.start, range.end));
      }
    });

    test('chunks whose memory is used again are right until the next one is asked for', async () => {
      const blobs = await Promise.all(
        [1, 2, 3, 4].map(async (seed) => {
          const bytes = sample(3 * mebibyte + seed, seed);
          return { bytes, key: await put(store, bytes) };
        }),
      );
      await Promise.all(
        blobs.map(async ({ bytes, key }) => {
          let position = 5;
          for await (const chunk of store.read(key, { start: 5, end: bytes.length }, { mayReuse: true })) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            assert.deepEqual(Buffer.from(chunk), bytes.subarray(position, position + chunk.byteLength));
            position += chunk.byteLength;
          }
          assert.equal(position, bytes.length);
        }),
      );
    });

    test('a reader may stop early, or never start', async () => {
      const key = await put(store, sample(4 * mebibyte));
      for await (const chunk of store.read(key)) {
        assert.ok(chunk.byteLength > 0);
        break;
      }
      store.read(key);
    });

    test('a slow producer and many at once do not mix their bytes', async () => {
      await Promise.all(
        Array.from({ length: 20 }, async (_, seed) => {
          const bytes = sample(400_000 + seed, seed);
          assert.deepEqual(await collect(store.read(await put(store, bytes))), bytes);
        }),
      );
    });

    test('abort frees an unfinished blob, and does nothing the second time or to a finished one', async () => {
      const handle = await store.begin();
      await store.part(handle, { number: 1, offset: 0 }, chunked(sample(500)));
      await store.abort(handle);
      await store.abort(handle);
      assert.deepEqual(await entries(store, store.keyOf(handle)), []);
      const finished = await store.begin();
      const part = await store.part(finished, { number: 1, offset: 0 }, chunked(sample(500)));
      const key = await store.complete(finished, [part.token]);
      await store.abort(finished);
      assert.deepEqual(await collect(store.read(key)), sample(500));
    });

    test('list tells finished from unfinished, with size and time, and follows a prefix', async () => {
      const startMicros = Date.now() * 1000;
      const key = await put(store, sample(123));
      const handle = await store.begin();
      await store.part(handle, { number: 1, offset: 0 }, chunked(sample(45)));
      const [finished] = await entries(store, key);
      assert.deepEqual(
        { ...finished, modifiedMicros: 0 },
        { key, sizeBytes: 123, modifiedMicros: 0, handle: undefined },
      );
      assert.ok(Math.abs((finished?.modifiedMicros ?? 0) - startMicros) < 60_000_000);
      const [unfinished] = await entries(store, store.keyOf(handle));
      assert.deepEqual({ size: unfinished?.sizeBytes, handle: unfinished?.handle }, { size: 45, handle });
      const all = await entries(store, '');
      for (const length of [1, 2, 3, 10]) {
        const prefix = key.slice(0, length);
        const expected = all.filter((entry) => entry.key.startsWith(prefix)).length;
        assert.equal((await entries(store, prefix)).length, expected);
      }
      assert.deepEqual(await entries(store, 'no-such-key'), []);
    });

    test('removed blobs are missing, and removing them again is fine', async () => {
      const kept = await put(store, sample(10));
      const keys = await Promise.all(Array.from({ length: 40 }, (_, index) => put(store, sample(index))));
      await store.removeMany(keys);
      await store.removeMany(keys);
      for (const key of keys) await assert.rejects(collect(store.read(key)), BlobMissing);
      assert.deepEqual(await collect(store.read(kept)), sample(10));
    });

    test('the store says that it can be written', () => store.check());
  });
}

/** Writes a blob in one part. */
export async function put(store: BlobStore, bytes: Uint8Array): Promise<StorageKey> {
  const handle = await store.begin();
  const part = await store.part(handle, { number: 1, offset: 0 }, chunked(bytes));
  return store.complete(handle, [part.token]);
}

/** Bytes that differ from place to place and from seed to seed. */
export function sample(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let value = seed + 1;
  for (let index = 0; index < size; index += 1) {
    value = (value * 1103515245 + 12345) & 0x7fffffff;
    bytes[index] = value >> 16;
  }
  return bytes;
}

/** As a socket gives them: 64 KiB at a time, with a pause between. */
export async function* chunked(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 65_536) {
    yield bytes.subarray(start, start + 65_536);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function* cutOff(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* chunked(bytes);
  throw new Error('the client is gone');
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

export async function entries(store: BlobStore, prefix: string): Promise<StoreEntry[]> {
  const all: StoreEntry[] = [];
  for await (const entry of store.list(prefix)) all.push(entry);
  return all;
}
