import assert from 'node:assert/strict';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bodyOf, bytesOf } from '../../../test/support/bodies.ts';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { type Digest, digestOf } from '../../core/digest.ts';
import type { ByteRange } from '../../platform/blob-store/blob-store.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { Place } from './place.ts';

const mebi = 1024 * 1024;
const me = fullAuthority();
const unknown = { error: 'blobUnknown' };
const damaged = { error: 'blobDamaged' };

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let count = 0;
  const fresh = () => {
    count += 1;
    return bench.place(`app${count}`);
  };
  /** A blob that no other test uses, in a repository of its own. */
  const pushed = async (sizeBytes = 1000): Promise<{ place: Place; blob: ReturnType<typeof sampleBlob> }> => {
    const place = fresh();
    const blob = sampleBlob(undefined, sizeBytes);
    await bench.push(place, blob);
    return { place, blob };
  };
  const fileOf = async (place: Place, digest: Digest) => {
    const { storageKey } = await bench.here.blobs.find(place, digest, me);
    return join(bench.folder.path, 'blobs', storageKey.slice(0, 2), storageKey);
  };
  const flip = (file: string, position: number) => {
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(position) ^ 1, position);
    writeFileSync(file, bytes);
  };
  const remove = (place: Place, digest: Digest) => bench.here.blobs.remove(place, me, digest);
  const pushImage = async (place: Place, blobs: readonly ReturnType<typeof sampleBlob>[]) => {
    const { bytes: body, digest, mediaType: contentType } = sampleImage(blobs);
    const push = { body, contentType, reference: { kind: 'digest', digest }, tags: [] } as const;
    await bench.here.manifests.push(place, me, push);
    return digest;
  };

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('a blob shows only in repositories it was pushed to', async () => {
    const { place, blob } = await pushed();
    const other = fresh();
    await bench.push(other, sampleBlob('something'));
    assert.equal((await bench.here.blobs.find(place, blob.digest, me)).sizeBytes, 1000);
    const elsewhere = [other, fresh(), { ...place, registryUid: bench.otherUid }];
    for (const at of elsewhere) await assert.rejects(bench.here.blobs.find(at, blob.digest, me), unknown);
  });

  test('the same bytes in two registries are stored in each', async () => {
    const { place, blob } = await pushed();
    const there = { ...place, registryUid: bench.otherUid };
    await bench.push(there, blob);
    assert.notEqual(await fileOf(place, blob.digest), await fileOf(there, blob.digest));
    rmSync(await fileOf(place, blob.digest));
    await assert.rejects(bench.pull(place, blob.digest), damaged);
    assert((await bench.pull(there, blob.digest)).equals(blob.bytes));
  });

  test('another registry that does not exist is unknown', async () => {
    const { place, blob } = await pushed();
    const nowhere = { ...place, registryUid: 'x' };
    await assert.rejects(bench.here.blobs.find(nowhere, blob.digest, me), { error: 'registryUnknown' });
    await assert.rejects(bench.push(nowhere, blob), { error: 'registryUnknown' });
  });

  const ranges: readonly [start: number, end: number][] = [
    [0, 1],
    [0, 3 * mebi + 10],
    [1, 2],
    [mebi - 1, mebi + 1],
    [mebi, 2 * mebi],
    [500, 2 * mebi + 500],
    [3 * mebi, 3 * mebi + 10],
    [3 * mebi + 9, 3 * mebi + 10],
    [7, 7],
  ];
  test('any range of a blob can be read', async () => {
    const { place, blob } = await pushed(3 * mebi + 10);
    const found = await bench.here.blobs.find(place, blob.digest, me);
    const unchecked = (await bench.another({ isChecked: false })).blobs;
    for (const [start, end] of ranges) {
      const expected = blob.bytes.subarray(start, end);
      assert((await bytesOf(bench.here.blobs.read(found, { start, end }))).equals(expected), `${start} to ${end}`);
      assert((await bytesOf(unchecked.read(found, { start, end }))).equals(expected), `${start} to ${end}, unchecked`);
    }
  });

  test('a damaged block is held back, sets the blob aside, and a new push heals it', async () => {
    const { place, blob } = await pushed(2 * mebi + 10);
    const other = fresh();
    await bench.push(other, blob);
    const found = await bench.here.blobs.find(place, blob.digest, me);
    flip(await fileOf(place, blob.digest), mebi + 5);
    assert((await bytesOf(bench.here.blobs.read(found, { start: 0, end: mebi }))).equals(blob.bytes.subarray(0, mebi)));
    let sent = 0;
    await assert.rejects(async () => {
      for await (const chunk of bench.here.blobs.read(found)) sent += chunk.length;
    }, damaged);
    assert.equal(sent, mebi);
    for (const at of [place, other]) await assert.rejects(bench.here.blobs.find(at, blob.digest, me), damaged);
    await bench.push(other, blob);
    for (const at of [place, other]) assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
  });

  test('a blob set aside is neither mounted nor accepted in a manifest', async () => {
    const { place, blob } = await pushed();
    flip(await fileOf(place, blob.digest), 0);
    await assert.rejects(bench.pull(place, blob.digest), damaged);
    assert.equal(await bench.here.blobs.mount(fresh(), me, blob.digest, place.repository), false);
    await assert.rejects(pushImage(place, [blob]), {
      error: 'manifestBlobUnknown',
      detail: [{ digest: blob.digest }],
    });
  });

  const faults: readonly [what: string, break_: (file: string) => void][] = [
    ['missing', (file) => rmSync(file)],
    ['empty', (file) => truncateSync(file, 0)],
    ['cut short', (file) => truncateSync(file, 999)],
    ['longer', (file) => writeFileSync(file, Buffer.alloc(1), { flag: 'a' })],
  ];
  for (const [what, break_] of faults) {
    test(`a file that is ${what} never passes as good, and a new push heals it`, async () => {
      const { place, blob } = await pushed();
      break_(await fileOf(place, blob.digest));
      const pulled = await bench.pull(place, blob.digest).catch((error: unknown) => error);
      if (Buffer.isBuffer(pulled)) assert(pulled.equals(blob.bytes));
      else assert.partialDeepStrictEqual({ ...Object(pulled) }, damaged);
      await bench.push(place, blob);
      assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
    });
  }

  test('a reader that found an old copy damaged does not set its repaired successor aside', async () => {
    const { place, blob } = await pushed();
    const old = await bench.here.blobs.find(place, blob.digest, me);
    flip(await fileOf(place, blob.digest), 0);
    await bench.push(place, blob);
    await assert.rejects(bytesOf(bench.here.blobs.read(old)), damaged);
    assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
  });

  test('a blob that is pulled again and again is sent from memory, whole or in part, while its repository shows it', async () => {
    const { place, blob } = await pushed(300_000);
    const { blobs } = await bench.another({ hotBytes: 4 * mebi });
    const pull = async (range?: ByteRange) =>
      await bytesOf(blobs.read(await blobs.find(place, blob.digest, me), range));
    for (const _ of ['counted', 'kept']) assert((await pull()).equals(blob.bytes));
    rmSync(await fileOf(place, blob.digest));
    assert((await pull()).equals(blob.bytes));
    assert((await pull({ start: 1000, end: 270_000 })).equals(blob.bytes.subarray(1000, 270_000)));
    await assert.rejects(bench.pull(place, blob.digest), damaged);
    await assert.rejects(pull(), damaged);
  });

  test('what is wrong in the store does not get into memory', async () => {
    const { place, blob } = await pushed(300_000);
    const { blobs } = await bench.another({ hotBytes: 4 * mebi });
    const found = await blobs.find(place, blob.digest, me);
    await bytesOf(blobs.read(found));
    flip(await fileOf(place, blob.digest), 299_999);
    for (const _ of ['to be kept', 'again']) await assert.rejects(bytesOf(blobs.read(found)), damaged);
  });

  test('a blob is mounted from a repository, and from any when none is named', async () => {
    const { place, blob } = await pushed();
    const named = fresh();
    const unnamed = fresh();
    assert.equal(await bench.here.blobs.mount(named, me, blob.digest, place.repository), true);
    assert.equal(await bench.here.blobs.mount(unnamed, me, blob.digest, undefined), true);
    assert.equal(await bench.here.blobs.mount(unnamed, me, blob.digest, place.repository), true);
    for (const at of [named, unnamed]) assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
  });

  test('nothing is mounted that is not there, not in that repository, or in another registry', async () => {
    const { place, blob } = await pushed();
    const target = fresh();
    const mount: typeof bench.here.blobs.mount = (...args) => bench.here.blobs.mount(...args);
    const elsewhere = { ...target, registryUid: bench.otherUid };
    assert.equal(await mount(target, me, sampleBlob('never pushed').digest, place.repository), false);
    assert.equal(await mount(target, me, blob.digest, fresh().repository), false);
    assert.equal(await mount(elsewhere, me, blob.digest, place.repository), false);
    assert.equal(await mount(elsewhere, me, blob.digest, undefined), false);
    await assert.rejects(bench.here.blobs.find(target, blob.digest, me), unknown);
  });

  test('nothing is mounted from a repository that the caller may not pull from', async () => {
    const { place, blob } = await pushed();
    const stranger = fullAuthority('stranger', { allows: (_action, name) => name !== place.repository });
    const target = fresh();
    assert.equal(await bench.here.blobs.mount(target, stranger, blob.digest, place.repository), false);
    assert.equal(await bench.here.blobs.mount(target, stranger, blob.digest, undefined), false);
    await assert.rejects(bench.here.blobs.find(target, blob.digest, me), unknown);
    const open = fresh();
    await bench.push(open, blob);
    assert.equal(await bench.here.blobs.mount(target, stranger, blob.digest, undefined), true);
  });

  test('a removed blob is gone from its repository alone', async () => {
    const { place, blob } = await pushed();
    const other = fresh();
    await bench.push(other, blob);
    await remove(place, blob.digest);
    await assert.rejects(bench.here.blobs.find(place, blob.digest, me), unknown);
    await assert.rejects(remove(place, blob.digest), unknown);
    assert((await bench.pull(other, blob.digest)).equals(blob.bytes));
    await bench.push(place, blob);
    assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
  });

  test('a blob removed everywhere is mounted from nowhere', async () => {
    const { place, blob } = await pushed();
    await remove(place, blob.digest);
    assert.equal(await bench.here.blobs.mount(fresh(), me, blob.digest, undefined), false);
    assert.equal(await bench.here.blobs.mount(fresh(), me, blob.digest, place.repository), false);
  });

  test('a blob that a manifest names is not removed, until the manifest is', async () => {
    const { place, blob } = await pushed();
    const digest = await pushImage(place, [blob]);
    await assert.rejects(remove(place, blob.digest), {
      error: 'blobReferenced',
      detail: { digest: blob.digest, manifest: digest },
    });
    assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
    const other = fresh();
    await bench.push(other, blob);
    await remove(other, blob.digest);
    await bench.here.manifests.remove(place, me, { kind: 'digest', digest });
    await remove(place, blob.digest);
  });

  test('nothing is removed from a repository that is not there', async () => {
    await assert.rejects(remove(fresh(), digestOf('sha256', '0'.repeat(64))), unknown);
  });
});

forEachDatabase((_, open) => {
  const hourMs = 3_600_000;
  const hourMicros = hourMs * 1000;

  test('whoever is told that a blob is here may rely on it for the grace', async () => {
    const clock = new HeldClock();
    const bench = await contentBench(open, { clock, limits: { graceMs: 24 * hourMs } });
    const place = bench.place('app');
    const blob = sampleBlob('grace');
    const graceUntil = async () => {
      const row = await bench.database.read.selectFrom('blobs').select('grace_until').executeTakeFirstOrThrow();
      return (row.grace_until - clock.nowMicros()) / hourMicros;
    };
    try {
      await bench.push(place, blob);
      assert.equal(await graceUntil(), 24);
      clock.advance(11 * hourMs);
      await bench.here.blobs.find(place, blob.digest, me);
      assert.equal(await graceUntil(), 13, 'no write while more than half is left');
      clock.advance(2 * hourMs);
      await bench.here.blobs.find(place, blob.digest, me);
      assert.equal(await graceUntil(), 24, 'renewed by a look');
      clock.advance(5 * hourMs);
      await bench.here.blobs.mount(bench.place('other'), me, blob.digest, place.repository);
      assert.equal(await graceUntil(), 24, 'renewed by a mount');
      clock.advance(5 * hourMs);
      await bench.here.uploads.push(place, me, blob.digest, bodyOf(blob.bytes));
      assert.equal(await graceUntil(), 24, 'renewed by a push of the same bytes');
    } finally {
      bench.folder.remove();
    }
  });
});
