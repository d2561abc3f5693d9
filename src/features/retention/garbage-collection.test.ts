import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBlob, type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { Place } from '../content/place.ts';
import { collectGarbage } from './garbage-collection.ts';

const me = fullAuthority();
const hourMs = 3_600_000;
const graceMs = 24 * hourMs;
const job = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  let counter = 0;

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock, limits: { graceMs } });
  });
  after(() => bench.folder.remove());

  const place = () => {
    counter += 1;
    return bench.place(`app-${counter}`);
  };
  const collect = () => collectGarbage(bench.here, job);
  const pushManifest = async (at: Place, manifest: SampleManifest, tag = 'v1') => {
    const push = { body: manifest.bytes, contentType: manifest.mediaType, reference: parseReference(tag), tags: [] };
    await bench.here.manifests.push(at, me, push);
  };
  const pushImage = async (at: Place, blobs: readonly SampleBlob[]) => {
    for (const blob of blobs) await bench.push(at, blob);
    const image = sampleImage(blobs);
    await pushManifest(at, image);
    return image;
  };
  const removeImage = async (at: Place, image: SampleManifest) =>
    await bench.here.manifests.remove(at, me, parseReference(image.digest));
  const isThere = async (at: Place, blob: SampleBlob) =>
    await bench.here.blobs.find(at, blob.digest, me).then(
      () => true,
      () => false,
    );

  test('a blob that nothing references leaves after its grace, with its bytes; a referenced one stays', async () => {
    const at = place();
    const kept = sampleBlob('kept', 100);
    const lost = sampleBlob('lost', 200);
    await pushImage(at, [kept]);
    await bench.push(at, lost);
    assert.deepEqual(await collect(), { blobs: 0, bytes: 0 });
    clock.advance(graceMs + 60_000);
    assert.deepEqual(await collect(), { blobs: 1, bytes: 200 });
    assert((await bench.pull(at, kept.digest)).equals(kept.bytes));
    await assert.rejects(bench.here.blobs.find(at, lost.digest, me), { error: 'blobUnknown' });
    assert.equal((await bench.stored()).length, 1);
  });

  test('blobs of a deleted image leave at once when their grace is over, those that another image needs stay', async () => {
    const at = place();
    const [shared, own] = [sampleBlob('shared', 10), sampleBlob('own', 20)];
    await pushImage(at, [shared]);
    const image = await pushImage(at, [shared, own]);
    clock.advance(graceMs + 60_000);
    await collect();
    assert(await isThere(at, own));
    clock.advance(graceMs);
    await removeImage(at, image);
    clock.advance(60_000);
    assert.deepEqual(await collect(), { blobs: 1, bytes: 20 });
    assert((await bench.pull(at, shared.digest)).equals(shared.bytes));
  });

  test('a blob keeps its bytes while one repository needs it, and leaves the others', async () => {
    const [one, other] = [place(), place()];
    const blob = sampleBlob('in two', 30);
    const image = await pushImage(one, [blob]);
    await bench.push(other, blob);
    clock.advance(graceMs + 60_000);
    assert.deepEqual(await collect(), { blobs: 0, bytes: 0 });
    assert(!(await isThere(other, blob)));
    assert((await bench.pull(one, blob.digest)).equals(blob.bytes));
    await removeImage(one, image);
    clock.advance(graceMs + 60_000);
    assert.deepEqual(await collect(), { blobs: 1, bytes: 30 });
  });

  test('DL-04: the same blob in twenty repositories, deleted in any order: the others pull it to the last', async () => {
    const blob = sampleBlob('in twenty', 80);
    const places = Array.from({ length: 20 }, () => place()).toSorted(() => Math.random() - 0.5);
    const images = new Map<Place, SampleManifest>();
    for (const at of places) images.set(at, await pushImage(at, [blob]));
    for (const [index, at] of places.entries()) {
      await removeImage(at, images.get(at) ?? assert.fail());
      clock.advance(graceMs + 60_000);
      assert.equal((await collect()).blobs, index === places.length - 1 ? 1 : 0);
      for (const other of places.slice(index + 1)) assert(await isThere(other, blob));
      assert(!(await isThere(at, blob)));
    }
  });

  test('a client that was told a blob is here has the length of a grace to use it', async () => {
    const at = place();
    const blob = sampleBlob('asked for', 40);
    await bench.push(at, blob);
    clock.advance(graceMs - hourMs);
    assert(await isThere(at, blob));
    clock.advance(graceMs - hourMs);
    await collect();
    await pushImage(at, [blob]);
    clock.advance(2 * graceMs);
    await collect();
    assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
  });

  test('DL-03: a digest that was collected can be pushed again at once, a hundred times', async () => {
    const at = place();
    const blob = sampleBlob('again', 50);
    for (let round = 0; round < 100; round += 1) {
      const image = await pushImage(at, [blob]);
      assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
      await removeImage(at, image);
      clock.advance(graceMs + 60_000);
      assert.deepEqual(await collect(), { blobs: 1, bytes: 50 });
      await assert.rejects(pushManifest(at, image), { error: 'manifestBlobUnknown' });
    }
  });

  test('pushes and collections at once: what was pushed is whole', async () => {
    const at = place();
    const blobs = Array.from({ length: 20 }, (_, index) => sampleBlob(`race ${index}`, 60));
    for (const blob of blobs) await bench.push(at, blob);
    clock.advance(graceMs + 60_000);
    const collecting = Promise.all([collect(), collect(), collect()]);
    const outcomes = await Promise.allSettled(
      blobs.map(async (blob, index) => await pushManifest(at, sampleImage([blob]), `t${index}`)),
    );
    await collecting;
    for (const [index, blob] of blobs.entries()) {
      const isPushed = outcomes[index]?.status === 'fulfilled';
      assert.equal(await isThere(at, blob), isPushed);
      if (isPushed) assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
    }
  });

  test('a collection that is cut off between rows and bytes leaves no row without bytes', async () => {
    const at = place();
    const blob = sampleBlob('cut off', 70);
    await bench.push(at, blob);
    clock.advance(graceMs + 60_000);
    const broken = { ...bench.here.store, removeMany: async () => await Promise.reject(new Error('the power went')) };
    await assert.rejects(collectGarbage({ ...bench.here, store: broken }, job), /the power went/);
    assert(!(await isThere(at, blob)));
    await bench.push(at, blob);
    assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
  });
});
