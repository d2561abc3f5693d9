import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob } from '../../../test/support/oci-samples.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { restartScrub, scrub, scrubProgress } from './scrub.ts';
import { storedDamage } from './stored-damage.ts';

const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  const parts = () => ({ ...bench.here, region: testRegion, bytesPerSecond: 1e12, everyMs: 30 * dayMs, runMs: dayMs });
  const fileOf = (key: string) => {
    const found = readdirSync(bench.folder.path, { recursive: true, encoding: 'utf8' }).find((path) =>
      path.endsWith(key),
    );
    assert(found !== undefined);
    return join(bench.folder.path, found);
  };
  const keyOf = async (digest: string) => {
    const row = await bench.database.read
      .selectFrom('blobs')
      .where('digest', '=', digest)
      .select('storage_key')
      .executeTakeFirstOrThrow();
    return row.storage_key;
  };

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
  });
  after(() => bench.folder.remove());

  test('wrong and missing bytes are found, set aside and told; a new push heals them', async () => {
    const at = bench.place('scrubbed');
    const [good, flipped, lost] = ['good', 'flipped', 'lost'].map((text) => sampleBlob(text, 300_000));
    assert(good && flipped && lost);
    for (const blob of [good, flipped, lost]) await bench.push(at, blob);
    const file = fileOf(await keyOf(flipped.digest));
    const bytes = readFileSync(file);
    bytes[270_000] = (bytes[270_000] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    rmSync(fileOf(await keyOf(lost.digest)));

    const progress = await scrub(parts(), job);
    assert.deepEqual([progress.blobs, progress.bytes, progress.damaged], [3, 900_000, 2]);
    assert.deepEqual(await storedDamage(bench.database.read), { damagedBlobs: 2, scrub: progress });
    const start = await bench.here.journal.start(streamOf(bench.registryUid, testRegion));
    const events = await bench.here.journal.after(start, 10);
    const told = events.filter((event) => event.type === 'blob.damaged').map((event) => event.data.digest);
    assert.deepEqual(told.toSorted(), [flipped.digest, lost.digest].toSorted());
    for (const blob of [flipped, lost]) {
      await assert.rejects(bench.pull(at, blob.digest), { error: 'blobDamaged' });
      await bench.push(at, blob);
    }
    assert.equal((await storedDamage(bench.database.read)).damagedBlobs, 0);
    for (const blob of [good, flipped, lost]) assert((await bench.pull(at, blob.digest)).equals(blob.bytes));
  });

  test('a walk goes on where it was cut off, and the next one waits for its time', async () => {
    await restartScrub(bench.here);
    const stopped = new AbortController();
    let renewals = 0;
    const renew = async () => {
      renewals += 1;
      if (renewals === 2) stopped.abort();
    };
    const cut = await scrub(parts(), { signal: stopped.signal, renew });
    assert.deepEqual([cut.blobs, cut.endedAtMicros], [2, undefined]);
    const whole = await scrub(parts(), job);
    assert.deepEqual([whole.blobs, whole.damaged, whole.endedAtMicros], [3, 0, clock.nowMicros()]);
    clock.advance(dayMs);
    assert.deepEqual(await scrub(parts(), job), whole);
    clock.advance(30 * dayMs);
    assert.equal((await scrub(parts(), job)).beganAtMicros, clock.nowMicros());
    assert.equal((await scrubProgress(bench.database.read))?.blobs, 3);
  });

  test('a walk that is begun anew while one is under way starts at the first blob', async () => {
    await restartScrub(bench.here);
    let renewals = 0;
    const renew = async () => {
      renewals += 1;
      if (renewals !== 2) return;
      clock.advance(1);
      await restartScrub(bench.here);
    };
    const progress = await scrub(parts(), { ...job, renew });
    assert.deepEqual([renewals, progress.blobs, progress.beganAtMicros], [6, 3, clock.nowMicros()]);
    assert.deepEqual(await scrubProgress(bench.database.read), progress);
  });

  test('a store that cannot be read proves nothing: no blob is set aside', async () => {
    await restartScrub(bench.here);
    const broken = {
      ...bench.here.store,
      read: () => {
        throw new Error('the store does not answer');
      },
    };
    await assert.rejects(scrub({ ...parts(), store: broken }, job), /does not answer/);
    const damaged = await bench.database.read
      .selectFrom('blobs')
      .where('state', '=', 'damaged')
      .select('digest')
      .execute();
    assert.deepEqual(damaged, []);
  });

  test('a blob that alone cannot be read holds up no other, wherever it stands', async () => {
    const rows = await bench.database.read
      .selectFrom('blobs')
      .orderBy('registry_uid')
      .orderBy('digest')
      .select('storage_key as key')
      .execute();
    assert.equal(rows.length, 3);
    for (const { key } of rows) {
      clock.advance(1);
      await restartScrub(bench.here);
      const store: BlobStore = {
        ...bench.here.store,
        read: (asked, ...more) => {
          if (asked === key) throw new Error('a sector is bad');
          return bench.here.store.read(asked, ...more);
        },
      };
      await assert.rejects(scrub({ ...parts(), store }, job), AggregateError);
      const progress = await scrubProgress(bench.database.read);
      assert.deepEqual([progress?.blobs, progress?.damaged, progress?.endedAtMicros], [2, 0, clock.nowMicros()]);
    }
  });

  test('what was set aside is served again once its bytes are back', async () => {
    const at = bench.place('back');
    const [lost, wrong] = ['lost', 'wrong'].map((text) => sampleBlob(`${text} and back`, 300_000));
    assert(lost && wrong);
    const files: string[] = [];
    for (const blob of [lost, wrong]) {
      await bench.push(at, blob);
      files.push(fileOf(await keyOf(blob.digest)));
    }
    for (const file of files) renameSync(file, `${file}.away`);
    await restartScrub(bench.here);
    assert.equal((await scrub(parts(), job)).damaged, 2);
    const [lostFile, wrongFile] = files;
    assert(lostFile !== undefined && wrongFile !== undefined);
    renameSync(`${lostFile}.away`, lostFile);
    writeFileSync(wrongFile, Buffer.alloc(300_000));
    clock.advance(1);
    await restartScrub(bench.here);
    assert.equal((await scrub(parts(), job)).damaged, 0, 'nothing that was not known');
    assert((await bench.pull(at, lost.digest)).equals(lost.bytes));
    await assert.rejects(bench.pull(at, wrong.digest), { error: 'blobDamaged' });
    const start = await bench.here.journal.start(streamOf(bench.registryUid, testRegion));
    const events = await bench.here.journal.after(start, 20);
    const told = events.filter((event) => event.type === 'blob.recovered').map((event) => event.data.digest);
    assert.deepEqual(told, [lost.digest]);
    renameSync(`${wrongFile}.away`, wrongFile);
    clock.advance(1);
    await restartScrub(bench.here);
    await scrub(parts(), job);
    assert((await bench.pull(at, wrong.digest)).equals(wrong.bytes));
  });
});
