import assert from 'node:assert/strict';
import { openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ConnectionCut, cutBody, streamedBody } from '../../../test/support/bodies.ts';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBlob, sampleBlob } from '../../../test/support/oci-samples.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { Place } from './place.ts';

const mebi = 1024 * 1024;
const me = fullAuthority('me');

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let count = 0;
  const fresh = () => {
    count += 1;
    return bench.place(`team/app${count}`);
  };
  const keyOf = async (place: Place, blob: SampleBlob) =>
    (await bench.here.blobs.find(place, blob.digest, me)).storageKey;
  const fileOf = async (place: Place, blob: SampleBlob) => {
    const key = await keyOf(place, blob);
    return join(bench.folder.path, 'blobs', key.slice(0, 2), key);
  };

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('a digest that is here already is linked, and nothing is stored again', async () => {
    const blob = sampleBlob('known', 2 * mebi + 77);
    const [one, other, third] = [fresh(), fresh(), fresh()];
    await bench.push(one, blob);
    const stored = await bench.stored();
    await bench.push(other, blob);
    await bench.here.uploads.push(third, me, blob.digest, streamedBody(blob.bytes));
    assert.deepEqual(await bench.stored(), stored);
    assert.equal(await keyOf(other, blob), await keyOf(one, blob));
    assert((await bench.pull(third, blob.digest)).equals(blob.bytes));
  });

  test('bytes of another digest are refused, whether they differ from the copy or are longer or shorter', async () => {
    const blob = sampleBlob('wanted', mebi + 10);
    await bench.push(fresh(), blob);
    const place = fresh();
    const changed = Buffer.from(blob.bytes);
    changed[mebi + 3] = (changed[mebi + 3] ?? 0) ^ 1;
    for (const bytes of [changed, Buffer.concat([blob.bytes, Buffer.from('x')]), blob.bytes.subarray(0, mebi)]) {
      await assert.rejects(bench.here.uploads.push(place, me, blob.digest, streamedBody(bytes)), {
        error: 'digestInvalid',
      });
    }
    await assert.rejects(bench.here.blobs.find(place, blob.digest, me), { error: 'blobUnknown' });
  });

  for (const position of [0, 100, mebi, 2 * mebi + 5]) {
    test(`a copy with a wrong byte at ${position}, which nobody has read yet, is replaced by a push of its digest`, async () => {
      const blob = sampleBlob(`rotten at ${position}`, 2 * mebi + 77);
      const place = fresh();
      await bench.push(place, blob);
      const rotten = await fileOf(place, blob);
      writeSync(openSync(rotten, 'r+'), Buffer.from([(blob.bytes[position] ?? 0) ^ 1]), 0, 1, position);
      await bench.push(place, blob);
      assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
      assert(readFileSync(await fileOf(place, blob)).equals(blob.bytes));
      assert.notEqual(await fileOf(place, blob), rotten);
    });
  }

  test('a copy that was compared a moment ago is not read again for the next push; a minute later it is', async () => {
    const clock = new HeldClock();
    const { uploads } = await bench.another({ clock });
    const blob = sampleBlob('pushed again and again', mebi);
    const push = (bytes: Uint8Array) => uploads.push(fresh(), me, blob.digest, streamedBody(bytes));
    const place = fresh();
    await bench.push(place, blob);
    await push(blob.bytes);
    const first = await fileOf(place, blob);
    writeSync(openSync(first, 'r+'), Buffer.from([(blob.bytes[99] ?? 0) ^ 1]), 0, 1, 99);
    const other = Buffer.from(blob.bytes);
    other[5] = (other[5] ?? 0) ^ 1;
    for (const bytes of [other, Buffer.concat([blob.bytes, other]), blob.bytes.subarray(0, 1000)]) {
      await assert.rejects(push(bytes), { error: 'digestInvalid' });
    }
    await push(blob.bytes);
    assert.equal(await fileOf(place, blob), first);
    clock.advance(60_000);
    await push(blob.bytes);
    assert.notEqual(await fileOf(place, blob), first);
    assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
  });

  test('the grace of a copy that a body is compared with is renewed before, where less than half of it is left', async () => {
    const graceMs = 60_000;
    const clock = new HeldClock();
    const { uploads } = await bench.another({ clock, limits: { graceMs } });
    const blob = sampleBlob('old', mebi);
    const graceLeft = async () => {
      const row = await bench.database.read
        .selectFrom('blobs')
        .where('digest', '=', blob.digest)
        .select('grace_until')
        .executeTakeFirstOrThrow();
      return (row.grace_until - clock.nowMicros()) / 1_000;
    };
    const leftAtFirstByte = async () => {
      let left: number | undefined;
      const bytes = (async function* () {
        left = await graceLeft();
        yield blob.bytes;
      })();
      await uploads.push(fresh(), me, blob.digest, { bytes, lengthBytes: undefined });
      return left;
    };
    await uploads.push(fresh(), me, blob.digest, streamedBody(blob.bytes));
    clock.advance(20_000);
    assert.equal(await leftAtFirstByte(), graceMs - 20_000);
    clock.advance(50_000);
    assert.equal(await leftAtFirstByte(), graceMs);
  });

  test('the grace of a copy is renewed by a push of its digest once an eighth of it is over', async () => {
    const graceMs = 24 * 3_600_000;
    const clock = new HeldClock();
    const { uploads } = await bench.another({ clock, limits: { graceMs } });
    const blob = sampleBlob('a layer of many images', 1_000);
    const push = async () => {
      await uploads.push(fresh(), me, blob.digest, streamedBody(blob.bytes));
      const row = await bench.database.read
        .selectFrom('blobs')
        .where('digest', '=', blob.digest)
        .select('grace_until')
        .executeTakeFirstOrThrow();
      return (row.grace_until - clock.nowMicros()) / 1_000;
    };
    assert.equal(await push(), graceMs);
    clock.advance(graceMs / 8);
    assert.equal(await push(), (graceMs / 8) * 7);
    clock.advance(1);
    assert.equal(await push(), graceMs);
  });

  const losses: readonly [what: string, lose: (file: string) => void][] = [
    ['missing', (file) => rmSync(file)],
    ['shorter than it was', (file) => truncateSync(file, mebi + 1)],
  ];
  for (const [what, lose] of losses) {
    test(`a copy that is ${what} is replaced, at the latest by the second push`, async () => {
      const blob = sampleBlob(what, 2 * mebi + 77);
      const place = fresh();
      await bench.push(place, blob);
      lose(await fileOf(place, blob));
      await bench.push(place, blob).catch((error: unknown) => assert.match(String(error), /busy/));
      await bench.push(place, blob);
      assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
    });
  }

  test('a connection that breaks while its body is compared links nothing', async () => {
    const blob = sampleBlob('cut while compared', mebi);
    await bench.push(fresh(), blob);
    const place = fresh();
    const body = cutBody(blob.bytes.subarray(0, 1000), blob.bytes.length);
    await assert.rejects(bench.here.uploads.push(place, me, blob.digest, body), ConnectionCut);
    await assert.rejects(bench.here.blobs.find(place, blob.digest, me), { error: 'blobUnknown' });
  });
});
