import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { digestOf, parseDigest } from '../core/digest.ts';
import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import { createFolderStore } from '../platform/blob-store/folder-store.ts';
import { createFailpoints } from '../platform/failpoints.ts';
import { systemClock as clock } from '../platform/system-clock.ts';
import { systemIds as ids } from '../platform/system-ids.ts';
import { copyBlobs, type NamedBlob } from './copy-blobs.ts';

const folder = temporaryFolder('copy-blobs');
after(() => folder.remove());

function storeAt(name: string): BlobStore {
  return createFolderStore({ folder: join(folder.path, name), ids, failpoint: createFailpoints(undefined, clock) });
}

async function stored(store: BlobStore, text: string): Promise<NamedBlob> {
  const bytes = Buffer.from(text);
  const handle = await store.begin();
  const part = await store.part(
    handle,
    { number: 1, offset: 0 },
    (async function* () {
      yield bytes;
    })(),
  );
  const key = await store.complete(handle, [part.token]);
  return { key, digest: digestOf('sha256', createHash('sha256').update(bytes).digest('hex')), sizeBytes: bytes.length };
}

test('a fault of a store ends the run once nothing is under way any more, and nothing else is begun', async () => {
  const [source, to] = [storeAt('from'), storeAt('to')];
  const blobs: NamedBlob[] = [];
  for (let index = 0; index < 12; index += 1) blobs.push(await stored(source, `blob ${index}`));
  const [broken, slow] = blobs;
  const faulted = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const under = new Set<string>();
  const begun: string[] = [];
  const from: BlobStore = {
    ...source,
    read: async function* (key, range, options) {
      begun.push(key);
      under.add(key);
      try {
        // The others are in the middle of theirs when the fault comes.
        if (key === broken?.key) {
          while (begun.length < 4) await new Promise((resolve) => setImmediate(resolve));
          faulted.resolve();
          throw new Error('the disk is broken');
        }
        if (key === slow?.key) await released.promise;
        else await faulted.promise;
        yield* source.read(key, range, options);
      } finally {
        under.delete(key);
      }
    },
  };
  const copy = copyBlobs(blobs, from, to, () => {});
  let isOver = false;
  const outcome = assert.rejects(copy, /the disk is broken/).then(() => {
    isOver = true;
  });
  await faulted.promise;
  while (under.size > 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([isOver, [...under]], [false, [slow?.key]]);
  released.resolve();
  await outcome;
  assert.equal(under.size, 0);
  assert.equal(begun.length, 4);
});

test('who waits for a large blob sees that it goes on', async () => {
  const target = storeAt('large');
  const chunk = Buffer.alloc(1024 ** 2);
  const chunks = 1_030;
  const from: BlobStore = {
    ...storeAt('from'),
    read: async function* () {
      for (let index = 0; index < chunks; index += 1) yield chunk;
    },
  };
  const to: BlobStore = {
    ...target,
    list: (prefix) => target.list(prefix),
    part: async (_, __, bytes) => {
      let sizeBytes = 0;
      for await (const piece of bytes) sizeBytes += piece.length;
      return { token: String(sizeBytes), sizeBytes };
    },
  };
  const told: unknown[] = [];
  const blob = {
    key: '0'.repeat(32),
    digest: parseDigest(`sha256:${'0'.repeat(64)}`),
    sizeBytes: chunks * chunk.length,
  };
  const account = await copyBlobs([blob], from, to, (done) => void told.push(done));
  assert.deepEqual(told, [{ blobs: 0, of: 1, bytes: 1024 ** 3 }]);
  assert.deepEqual(account.damaged, [blob]);
});
