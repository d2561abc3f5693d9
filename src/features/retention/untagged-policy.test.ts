import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { KyselyPlugin } from 'kysely';
import {
  type ContentBench,
  contentBench,
  fullAuthority,
  quietLog,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  descriptorOf,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { ownAuthority } from './own-authority.ts';
import { deleteUntagged } from './untagged-policy.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
const config = sampleBlob('config');

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  let counter = 0;

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    await setDays(7);
  });
  after(() => bench.folder.remove());

  const setDays = async (days: number | null) => {
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('registries').set({ retention_days: days }).execute();
    });
  };
  const deletions = () => new Deletions({ ...bench.here, region: testRegion });
  const run = async () =>
    await deleteUntagged(
      { ...bench.here, log: quietLog, deletions: deletions(), authority: ownAuthority('retention') },
      job,
    );
  const place = () => {
    counter += 1;
    return bench.place(`app-${counter}`);
  };
  const image = (more = {}) => {
    counter += 1;
    return sampleImage([config], { annotations: { n: `${counter}` }, ...more });
  };
  const push = async (at: Place, manifest: SampleManifest, ...tags: string[]) => {
    await bench.push(at, config);
    const reference = parseReference(manifest.digest);
    const common = { body: manifest.bytes, contentType: manifest.mediaType, reference };
    await bench.here.manifests.push(at, me, { ...common, tags: tags.map(parseTag) });
  };
  const isThere = async (at: Place, manifest: SampleManifest) =>
    await bench.here.manifests.find(at, parseReference(manifest.digest), me).then(
      () => true,
      () => false,
    );

  test('a manifest leaves so many days after it lost its tag: moved, deleted, or pushed without one', async () => {
    const at = place();
    const [moved, untagged, bare, kept] = [image(), image(), image(), image()];
    await push(at, moved, 'latest');
    await push(at, untagged, 'v1');
    clock.advance(30 * dayMs);
    await push(at, kept, 'latest');
    await push(at, bare);
    await deletions().tag(at, me, parseTag('v1'));
    clock.advance(7 * dayMs - 60_000);
    assert.equal(await run(), 0);
    clock.advance(60_000);
    assert.equal(await run(), 2);
    clock.advance(dayMs);
    assert.equal(await run(), 1, 'what came without a tag had a grace to get one');
    assert.deepEqual(await Promise.all([moved, untagged, bare, kept].map(async (each) => await isThere(at, each))), [
      false,
      false,
      false,
      true,
    ]);
  });

  test('the clock starts anew when a manifest loses a tag again', async () => {
    const at = place();
    const one = image();
    await push(at, one);
    clock.advance(7 * dayMs);
    await push(at, one, 'back');
    clock.advance(6 * dayMs);
    assert.equal(await run(), 0);
    await deletions().tag(at, me, parseTag('back'));
    clock.advance(6 * dayMs);
    assert.equal(await run(), 0);
    clock.advance(2 * dayMs);
    assert.equal(await run(), 1);
  });

  test('DL-12: a manifest that is tagged at any moment around its deadline is never lost while it has the tag', async () => {
    for (let round = 0; round < 20; round += 1) {
      const at = place();
      const one = image();
      await push(at, one);
      clock.advance(8 * dayMs);
      const [tagged] = await Promise.allSettled([
        push(at, one, 'saved'),
        ...(randomInt(2) === 0 ? [run(), run()] : [run()]),
      ]);
      await run();
      assert.equal(tagged?.status, 'fulfilled');
      assert(await isThere(at, one));
    }
  });

  test('parts of an index stay with it, and leave as long after it', async () => {
    const at = place();
    const child = image();
    const index = sampleIndex([child]);
    await push(at, child);
    await push(at, index, 'multi');
    clock.advance(8 * dayMs);
    assert.equal(await run(), 0);
    await deletions().manifest(at, me, index.digest);
    clock.advance(6 * dayMs);
    assert.equal(await run(), 0);
    clock.advance(2 * dayMs);
    assert.equal(await run(), 1);
    assert(!(await isThere(at, child)));
  });

  test('signatures leave with what they sign, and not before', async () => {
    const at = place();
    const signed = image();
    const signature = image({ subject: descriptorOf(signed, signed.mediaType) });
    await push(at, signed, 'v1');
    await push(at, signature);
    clock.advance(30 * dayMs);
    assert.equal(await run(), 0);
    await deletions().tag(at, me, parseTag('v1'));
    clock.advance(7 * dayMs);
    assert.equal(await run(), 1);
    assert.deepEqual([await isThere(at, signed), await isThere(at, signature)], [false, false]);
  });

  test('a signature whose image is gone leaves as others do when it loses its tag, unless the image comes back', async () => {
    for (const comesBack of [false, true]) {
      const at = place();
      const signed = image();
      const signature = image({ subject: descriptorOf(signed, signed.mediaType) });
      await push(at, signed, 'v1');
      await push(at, signature, 'signature');
      await deletions().manifest(at, me, signed.digest);
      assert(await isThere(at, signature), 'it has a tag');
      await deletions().tag(at, me, parseTag('signature'));
      clock.advance(6 * dayMs);
      assert.equal(await run(), 0);
      if (comesBack) await push(at, signed, 'v1');
      clock.advance(dayMs);
      assert.equal(await run(), comesBack ? 0 : 1);
      assert.equal(await isThere(at, signature), comesBack);
    }
  });

  test('a locked manifest stays until the lock is off', async () => {
    const at = place();
    const one = image();
    const attributes = new AttributeChanges({ ...bench.here, region: testRegion });
    await push(at, one);
    await attributes.manifest(at, me, one.digest, { deleteEnabled: false });
    clock.advance(9 * dayMs);
    assert.equal(await run(), 0);
    assert.equal(await run(), 0);
    await attributes.manifest(at, me, one.digest, { deleteEnabled: true });
    clock.advance(2 * 3_600_000);
    assert.equal(await run(), 1);
  });

  test('a signature that was locked when its image left leaves after its days, once the lock is off', async () => {
    const at = place();
    const signed = image();
    const signature = image({ subject: descriptorOf(signed, signed.mediaType) });
    const attributes = new AttributeChanges({ ...bench.here, region: testRegion });
    await push(at, signed, 'v1');
    await push(at, signature);
    await attributes.manifest(at, me, signature.digest, { deleteEnabled: false });
    await deletions().manifest(at, me, signed.digest);
    clock.advance(9 * dayMs);
    assert.equal(await run(), 0);
    assert(await isThere(at, signature));
    await attributes.manifest(at, me, signature.digest, { deleteEnabled: true });
    clock.advance(2 * 3_600_000);
    assert.equal(await run(), 1);
    assert(!(await isThere(at, signature)));
  });

  test('days of 0 delete at the next look, and only what lost its tag under the policy', async () => {
    const at = place();
    const [before, after] = [image(), image()];
    await setDays(null);
    await push(at, before, 'b');
    await push(at, after, 'a');
    await deletions().tag(at, me, parseTag('b'));
    await setDays(0);
    await deletions().tag(at, me, parseTag('a'));
    assert.equal(await run(), 1);
    assert.deepEqual([await isThere(at, before), await isThere(at, after)], [true, false]);
    await setDays(7);
  });

  test('days of 0 leave the parts of a push alone until its index comes', async () => {
    const at = place();
    await setDays(0);
    const children = [image(), image()];
    for (const child of children) {
      await push(at, child);
      clock.advance(10_000);
      assert.equal(await run(), 0);
    }
    const index = sampleIndex(children);
    await push(at, index, 'multi');
    clock.advance(30 * dayMs);
    assert.equal(await run(), 0);
    assert(await isThere(at, index));
    await setDays(7);
  });

  test('a policy that is lengthened or switched off in the middle of a run holds from the next manifest on', async () => {
    for (const days of [365, null]) {
      const at = place();
      const images = Array.from({ length: 4 }, () => image());
      for (const each of images) await push(at, each);
      clock.advance(9 * dayMs);
      const changing = new Deletions({ ...bench.here, region: testRegion });
      const remove = changing.untaggedManifest.bind(changing);
      changing.untaggedManifest = async (...given) => {
        const outcome = await remove(...given);
        await setDays(days);
        return outcome;
      };
      const parts = { ...bench.here, log: quietLog, deletions: changing, authority: ownAuthority('retention') };
      assert.equal(await deleteUntagged(parts, job), 1);
      await setDays(7);
      assert.equal(await run(), 3);
    }
  });

  test('manifests that fail hold no other of their registry up, however many they are, and are looked at once', async () => {
    const at = place();
    const images = Array.from({ length: 103 }, () => image());
    for (const each of images) {
      await push(at, each);
      clock.advance(1);
    }
    clock.advance(9 * dayMs);
    const failing = new Set<string>(images.slice(0, 101).map(({ digest }) => digest));
    const broken = deletions();
    const remove = broken.untaggedManifest.bind(broken);
    broken.untaggedManifest = async (...given) => {
      if (failing.has(given[2].digest)) throw new Error('broken');
      return await remove(...given);
    };
    let marksRead = 0;
    const counting: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        marksRead += result.rows.filter((row) => 'since' in row).length;
        return result;
      },
    };
    const database = { ...bench.database, read: bench.database.read.withPlugin(counting) };
    const parts = { ...bench.here, database, log: quietLog, deletions: broken, authority: ownAuthority('retention') };
    const left = async () => {
      const there = await Promise.all(
        images.map(async (each) => ((await isThere(at, each)) ? each.digest : undefined)),
      );
      return new Set(there.filter((digest) => digest !== undefined));
    };
    await assert.rejects(deleteUntagged(parts, job), (error) => {
      assert(error instanceof AggregateError);
      assert.match(error.message, /failed 101 times$/);
      // No more are kept, so that a registry where all fail takes no memory.
      assert.deepEqual([error.errors.length, error.cause], [10, error.errors[0]]);
      return true;
    });
    assert.deepEqual(await left(), failing);
    assert.equal(marksRead, images.length);
    await run();
    assert.deepEqual(await left(), new Set());
  });

  test('what fails in one registry holds no other up', async () => {
    for (const failing of [bench.registryUid, bench.otherUid]) {
      const both = [place(), bench.place('elsewhere', bench.otherUid)];
      const old = image();
      for (const at of both) await push(at, old);
      clock.advance(9 * dayMs);
      const change: AuthorizedChange = async (at, authority, work, options) => {
        if (at.registryUid === failing) throw new Error('broken');
        return await bench.here.change(at, authority, work, options);
      };
      const broken = new Deletions({ ...bench.here, change, region: testRegion });
      const parts = { ...bench.here, log: quietLog, deletions: broken, authority: ownAuthority('retention') };
      await assert.rejects(deleteUntagged(parts, job), AggregateError);
      const left = await Promise.all(both.map(async (at) => ((await isThere(at, old)) ? at.registryUid : undefined)));
      assert.deepEqual(
        left.filter((uid) => uid !== undefined),
        [failing],
      );
      assert.equal(await run(), 1);
    }
  });
});
