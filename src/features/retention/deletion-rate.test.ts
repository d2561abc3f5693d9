import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type ContentBench, contentBench } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { objectStores } from '../../../test/support/object-stores.ts';
import type { BlobStore, StorageKey } from '../../platform/blob-store/blob-store.ts';
import { put } from '../../platform/blob-store/blob-store-suite.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { collectGarbage } from './garbage-collection.ts';

const isLong = process.env.BERTH_TEST_LONG === '1';
const count = isLong ? 20_000 : 300;
/** What a large registry needs to keep up with what leaves it. */
const leastPerMinute = 3_000;
const dayMs = 86_400_000;
const blobBytes = 10;
const writers = 16;
const rowsAtOnce = 100;
/** Filling a store takes longer than emptying it: one is enough for each database. */
const storeOf = { sqlite: 'Azure', postgres: 'S3' } as const;

forEachDatabase((kind, open) => {
  const name = storeOf[kind];
  test(`${count} unreferenced blobs leave ${name} at ${leastPerMinute} a minute or more`, async (t) => {
    await using service = await objectStores[name]();
    const clock = new HeldClock(Date.now() * 1000);
    const bench = await contentBench(open, { clock });
    try {
      await fill(bench, service.store, clock.nowMicros());
      clock.advance(2 * dayMs);
      const begin = performance.now();
      const parts = { ...bench.here, store: service.store };
      const freed = await collectGarbage(parts, { signal: new AbortController().signal, renew: async () => {} });
      const seconds = (performance.now() - begin) / 1000;
      assert.deepEqual(freed, { blobs: count, bytes: count * blobBytes });
      assert.deepEqual(await Array.fromAsync(service.store.list('')), []);
      const perMinute = Math.round((count / seconds) * 60);
      t.diagnostic(`${name}, ${kind}: ${perMinute} blobs a minute`);
      assert(perMinute >= leastPerMinute, `${perMinute} blobs a minute`);
    } finally {
      bench.folder.remove();
    }
  });
});

/** Blobs that were pushed and that no manifest ever named. */
async function fill({ database, registryUid }: ContentBench, store: BlobStore, nowMicros: number): Promise<void> {
  const write = async (writer: number) => {
    const rows: ReturnType<typeof rowOf>[] = [];
    for (let index = writer; index < count; index += writers) {
      const bytes = Buffer.from(String(index).padStart(blobBytes, '0'));
      rows.push(rowOf({ registryUid, bytes, storageKey: await put(store, bytes), nowMicros }));
    }
    for (let start = 0; start < rows.length; start += rowsAtOnce) {
      const some = rows.slice(start, start + rowsAtOnce);
      await database.transaction(async (tx) => await tx.insertInto('blobs').values(some).execute());
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
}

type Stored = {
  readonly registryUid: string;
  readonly bytes: Buffer;
  readonly storageKey: StorageKey;
  readonly nowMicros: number;
};

function rowOf({ registryUid, bytes, storageKey, nowMicros }: Stored) {
  return {
    registry_uid: registryUid,
    digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    storage_key: storageKey,
    size: bytes.length,
    stored_size: bytes.length,
    format: 'plain' as const,
    scope: '',
    state: 'ready' as const,
    created_at: nowMicros,
    grace_until: nowMicros,
    checksums: Buffer.alloc(4),
  };
}
