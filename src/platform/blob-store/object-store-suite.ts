import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, startFaultyProxy } from '../../../test/support/faulty-proxy.ts';
import { heldBytes } from '../../../test/support/held-bytes.ts';
import { BerthError } from '../../core/errors.ts';
import { BlobMissing, type BlobStore } from './blob-store.ts';
import { chunked, collect, entries, put, sample } from './blob-store-suite.ts';

/** Gives the suite a store behind a service, reached at `endpoint` in place of the service's own. */
export type ObjectStoreWorld = {
  readonly endpoint: string;
  readonly open: (endpoint: string) => BlobStore;
  readonly close: () => Promise<void>;
};

const mebibyte = 1024 * 1024;
/** A block of 256 KiB, one read of a connection, and some room. */
const maxStalledBytes = (256 + 64 + 32) * 1024;
/** Longer than memory of uploads is kept for others. */
const idleMs = 1_200;

/** What stores behind a network do beside `blobStoreSuite`: they live with a service that is slow, busy or breaks off. */
export function objectStoreSuite(name: string, newWorld: () => Promise<ObjectStoreWorld>): void {
  describe(`object store under faults: ${name}`, () => {
    let world: ObjectStoreWorld;
    before(async () => {
      world = await newWorld();
    });
    after(() => world.close());
    const proxied = async (faultOf: Parameters<typeof startFaultyProxy>[1]) => {
      const proxy = await startFaultyProxy(world.endpoint, faultOf);
      return { proxy, store: world.open(proxy.endpoint), [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() };
    };

    test('a service that says slow down now and then is tried again', async () => {
      await using faulty = await proxied((_, index) => (index % 3 === 0 ? 'slowDown' : 'pass'));
      const bytes = sample(11 * mebibyte + 5);
      assert.deepEqual(await collect(faulty.store.read(await put(faulty.store, bytes))), bytes);
      const key = await put(faulty.store, sample(100));
      await faulty.store.removeMany([key]);
      await assert.rejects(collect(faulty.store.read(key)), BlobMissing);
    });

    test('a read whose answer breaks off goes on from there', async () => {
      const bytes = sample(6 * mebibyte + 9);
      const key = await put(world.open(world.endpoint), bytes);
      let cuts = 0;
      await using faulty = await proxied(({ method }): Fault => {
        cuts += 1;
        return method === 'GET' && cuts <= 3 ? 'cut' : 'pass';
      });
      assert.deepEqual(await collect(faulty.store.read(key)), bytes);
      assert.equal(faulty.proxy.seen.length, 4);
    });

    test('a reader that stalls holds a block and one read of its connection', async () => {
      const store = world.open(world.endpoint);
      const key = await put(store, sample(8 * mebibyte));
      await sleep(idleMs);
      const before = await heldBytes();
      const readers = Array.from({ length: 40 }, () =>
        store.read(key, undefined, { mayReuse: true })[Symbol.asyncIterator](),
      );
      for (const _ of [1, 2]) await Promise.all(readers.map((reader) => reader.next()));
      // Time for what would be read ahead.
      await sleep(500);
      const heldEach = ((await heldBytes()) - before) / readers.length;
      for (const reader of readers) await reader.return?.();
      assert.ok(heldEach <= maxStalledBytes, `${Math.round(heldEach / 1024)} KiB each`);
    });

    test('answers that are lost after the work was done do no harm', async () => {
      const seen = new Set<string>();
      await using faulty = await proxied((incoming) => {
        const call = `${incoming.method} ${incoming.url}`;
        const isFirst = !seen.has(call);
        seen.add(call);
        return isFirst && incoming.method !== 'GET' ? 'lose' : 'pass';
      });
      const bytes = sample(6 * mebibyte);
      assert.deepEqual(await collect(faulty.store.read(await put(faulty.store, bytes))), bytes);
      assert.deepEqual(await collect(faulty.store.read(await put(faulty.store, sample(10)))), sample(10));
    });

    test('DL-08: a service that stays away is an error, never a missing blob', async () => {
      const key = await put(world.open(world.endpoint), sample(10));
      await using faulty = await proxied(() => 'slowDown');
      const isAway = (error: unknown) => error instanceof BerthError && error.error === 'storeAway';
      await assert.rejects(collect(faulty.store.read(key)), isAway);
      await assert.rejects(entries(faulty.store, ''), isAway);
      await assert.rejects(faulty.store.check(), isAway);
    });

    test('chunks of any length make one blob', async () => {
      const store = world.open(world.endpoint);
      const bytes = sample(17 * mebibyte + 3);
      const lengths = [1, 3, 5 * mebibyte - 4, 1, 5 * mebibyte, 70_000, 4 * mebibyte, mebibyte];
      const handle = await store.begin();
      const tokens: string[] = [];
      let offset = 0;
      for (const length of [...lengths, bytes.length]) {
        const chunk = bytes.subarray(offset, offset + length);
        const part = await store.part(handle, { number: tokens.length + 1, offset }, chunked(chunk));
        assert.equal(part.sizeBytes, chunk.length);
        tokens.push(part.token);
        offset += chunk.length;
        assert.equal(await store.unfinishedBytes(handle, tokens), offset);
      }
      assert.deepEqual(await collect(store.read(await store.complete(handle, tokens))), bytes);
      assert.deepEqual(
        (await entries(store, handle)).map((entry) => entry.handle),
        [undefined],
      );
    });

    test('a large unfinished blob can be read more than once, and then finished or given up', async () => {
      const store = world.open(world.endpoint);
      const bytes = sample(12 * mebibyte + 1);
      for (const isFinished of [true, false]) {
        const handle = await store.begin();
        const part = await store.part(handle, { number: 1, offset: 0 }, chunked(bytes));
        for (const _ of [1, 2]) assert.deepEqual(await collect(store.readUnfinished(handle, [part.token])), bytes);
        assert.equal((await entries(store, handle))[0]?.handle, handle);
        if (isFinished) await store.complete(handle, [part.token]);
        else await store.abort(handle);
        await store.abort(handle);
        if (isFinished) assert.deepEqual(await collect(store.read(handle)), bytes);
        else assert.deepEqual(await entries(store, handle), []);
      }
    });

    test('an abandoned large upload is listed with what it holds, and leaves with abort', async () => {
      const store = world.open(world.endpoint);
      const handle = await store.begin();
      await store.part(handle, { number: 1, offset: 0 }, chunked(sample(11 * mebibyte)));
      const [entry] = await entries(store, handle);
      assert.deepEqual({ handle: entry?.handle, size: entry?.sizeBytes }, { handle, size: 11 * mebibyte });
      await store.abort(handle);
      assert.deepEqual(await entries(store, handle), []);
    });

    test('a producer waits while the service does', async () => {
      let given = 0;
      async function* producer() {
        for (; given < 400; given += 1) yield sample(65_536);
      }
      await using faulty = await proxied(({ method, url = '' }) =>
        method === 'PUT' && /partNumber|comp=block/.test(url) ? 'hang' : 'pass',
      );
      const stuck = faulty.store.part(await faulty.store.begin(), { number: 1, offset: 0 }, producer());
      stuck.catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      assert.ok(given * 65_536 <= 16 * mebibyte, `${given} chunks were taken`);
    });
  });
}
