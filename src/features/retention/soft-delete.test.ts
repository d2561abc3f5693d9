import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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
import { streamOf } from '../../platform/journal/journal.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import { cosignTags } from '../content/cosign-tags.ts';
import { Deletions } from '../content/deletions.ts';
import { Metadata } from '../content/metadata.ts';
import type { Place } from '../content/place.ts';
import type { Quarantine, QuarantineChange } from '../content/quarantine-state.ts';
import { dropDeleted, expireDeleted } from './deleted-expiry.ts';
import { DeletedListings } from './deleted-listings.ts';
import { collectGarbage } from './garbage-collection.ts';
import { ownAuthority } from './own-authority.ts';
import { Restores } from './restores.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
const page = { last: '', limit: 100 };

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  let counter = 0;

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    await setPolicy(true);
  });
  after(() => bench.folder.remove());

  const setPolicy = async (isOn: boolean) => {
    await bench.database.transaction(async (tx) => {
      await tx
        .updateTable('registries')
        .set({ keeps_deleted: isOn ? 1 : 0 })
        .execute();
    });
  };
  const deletions = () => new Deletions({ ...bench.here, region: testRegion });
  const restores = () => new Restores({ ...bench.here, region: testRegion });
  const listings = () => new DeletedListings(bench.database);
  const expiry = () => ({
    ...bench.here,
    log: quietLog,
    region: testRegion,
    authority: ownAuthority('soft delete policy'),
  });
  const place = () => {
    counter += 1;
    return bench.place(`app-${counter}`);
  };
  const fresh = (more = {}) => {
    counter += 1;
    const layer = sampleBlob(`layer ${counter}`, 1000);
    return { layer, image: sampleImage([layer], { annotations: { n: `${counter}` }, ...more }) };
  };
  const push = async (at: Place, manifest: SampleManifest, ...tags: string[]) => {
    const common = {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(manifest.digest),
    };
    await bench.here.manifests.push(at, me, { ...common, tags: tags.map(parseTag) });
  };
  const pushFresh = async (at: Place, more = {}, ...tags: string[]) => {
    const { layer, image } = fresh(more);
    await bench.push(at, layer);
    await push(at, image, ...tags);
    return { layer, image };
  };
  const restore = async (at: Place, manifest: SampleManifest, tag?: string, isForced = false) =>
    await restores().restore(at, me, {
      digest: manifest.digest,
      tag: tag === undefined ? undefined : parseTag(tag),
      isForced,
    });
  const find = async (at: Place, reference: string) =>
    await bench.here.manifests.find(at, parseReference(reference), me);
  const isThere = async (at: Place, { digest }: SampleManifest) =>
    await find(at, digest).then(
      () => true,
      () => false,
    );
  const usage = async () => {
    const row = await bench.database.read
      .selectFrom('registry_usage')
      .where('registry_uid', '=', bench.registryUid)
      .select('bytes')
      .executeTakeFirst();
    return row?.bytes ?? 0;
  };

  test('a deleted image is gone for clients, listed as deleted, and whole again after a restore', async () => {
    const at = place();
    const { layer, image } = await pushFresh(at, {}, 'v1', 'latest');
    const before = await usage();
    await deletions().manifest(at, me, image.digest);
    await assert.rejects(find(at, 'v1'), { error: 'manifestUnknown' });
    assert.equal(await usage(), before, 'what is kept counts');
    const [listed] = await listings().manifests(at, me, page);
    assert.deepEqual([listed?.digest, listed?.tags], [image.digest, ['latest', 'v1']]);
    assert((await listings().repositories(bench.registryUid, me, page)).includes(at.repository));
    clock.advance(6 * dayMs);
    assert.equal(await expireDeleted(expiry(), job), 0);
    await collectGarbage(bench.here, job);

    await restore(at, image, 'v1');
    assert((await find(at, 'v1')).body);
    assert((await bench.pull(at, layer.digest)).equals(layer.bytes));
    await assert.rejects(find(at, 'latest'), { error: 'manifestUnknown' });
    await restore(at, image, 'latest');
    assert.equal((await find(at, 'latest')).digest, image.digest);
    assert.deepEqual(
      [await listings().manifests(at, me, page), await listings().tags(at, me, { limit: 100 })],
      [[], []],
    );
    assert.equal(await usage(), before);
    const start = await bench.here.journal.start(streamOf(bench.registryUid, testRegion));
    const events = await bench.here.journal.after(start, 500);
    assert.deepEqual(
      events.filter((event) => event.type === 'manifest.restored').map((event) => event.data.digest),
      [image.digest],
    );
  });

  test('after its days it leaves for good, with its bytes', async () => {
    const at = place();
    const before = await usage();
    const { layer, image } = await pushFresh(at, {}, 'v1');
    await deletions().manifest(at, me, image.digest);
    clock.advance(7 * dayMs);
    assert.equal(await expireDeleted(expiry(), job), 1);
    assert.equal(await usage(), before);
    await assert.rejects(restore(at, image, 'v1'), { error: 'manifestUnknown' });
    clock.advance(dayMs);
    await collectGarbage(bench.here, job);
    await assert.rejects(bench.here.blobs.find(at, layer.digest, me), { error: 'blobUnknown' });
  });

  test('an index comes back with its parts, an image with its signatures', async () => {
    const at = place();
    const { image: child } = await pushFresh(at);
    const index = sampleIndex([child]);
    await push(at, index, 'multi');
    const signature = fresh({ subject: descriptorOf(index, index.mediaType) });
    await bench.push(at, signature.layer);
    await push(at, signature.image);
    await deletions().repository(at, me);
    assert.deepEqual(await Promise.all([child, index, signature.image].map(async (each) => await isThere(at, each))), [
      false,
      false,
      false,
    ]);
    await restore(at, index, 'multi');
    assert.deepEqual(await Promise.all([child, index, signature.image].map(async (each) => await isThere(at, each))), [
      true,
      true,
      true,
    ]);
  });

  test('an index of many parts that share some, with many signatures, comes back with few queries', async () => {
    const at = place();
    const { layer, image: shared } = await pushFresh(at);
    const parts = Array.from({ length: 230 }, (_, n) => sampleImage([layer], { annotations: { part: `${n}` } }));
    const inner = sampleIndex([shared, ...parts.slice(0, 5)]);
    const outer = sampleIndex([inner, shared, ...parts]);
    const subject = descriptorOf(outer, outer.mediaType);
    const signatures = Array.from({ length: 230 }, (_, n) =>
      sampleImage([layer], { subject, annotations: { n: `${n}` } }),
    );
    const all = [...parts, inner, outer, ...signatures];
    for (const each of all) await push(at, each);
    await deletions().repository(at, me);
    let queries = 0;
    const read = bench.database.read.withPlugin({
      transformQuery: ({ node }) => {
        queries += 1;
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    const counted = new Restores({ ...bench.here, database: { ...bench.database, read }, region: testRegion });
    await counted.restore(at, me, { digest: outer.digest, tag: undefined, isForced: false });
    for (const each of [shared, ...all]) assert(await isThere(at, each));
    assert.equal(queries, 10);
  });

  test("cosign's signatures and what is signed on them leave with their image, and come back with it", async () => {
    const at = place();
    const { layer, image } = await pushFresh(at, {}, 'v1');
    const [signature, second, stranger] = ['signature', 'of the signature', 'stranger'].map((n) =>
      sampleImage([layer], { annotations: { n, at: at.repository } }),
    );
    assert(signature && second && stranger);
    const [tag = '', , sbom = ''] = cosignTags(image.digest);
    const [above = ''] = cosignTags(signature.digest);
    await push(at, signature, tag);
    await push(at, second, above);
    await push(at, stranger, sbom);
    await push(at, stranger, 'kept');
    await deletions().manifest(at, me, image.digest);
    assert.deepEqual(await Promise.all([signature, second, stranger].map((each) => isThere(at, each))), [
      false,
      false,
      true,
    ]);
    await assert.rejects(find(at, sbom), { error: 'manifestUnknown' });
    await restore(at, image, 'v1');
    assert.equal((await find(at, tag)).digest, signature.digest);
    assert.equal((await find(at, above)).digest, second.digest);
    assert.equal((await find(at, sbom)).digest, stranger.digest);
  });

  test('a tag in use is taken only by force, and can be restored then', async () => {
    const at = place();
    const { image: old } = await pushFresh(at, {}, 'latest');
    await deletions().tag(at, me, parseTag('latest'));
    const { image: present } = await pushFresh(at, {}, 'latest');
    await assert.rejects(restore(at, old, 'latest'), { error: 'tagTaken' });
    await restore(at, old, 'latest', true);
    assert.equal((await find(at, 'latest')).digest, old.digest);
    assert.deepEqual(
      (await listings().tags(at, me, { limit: 100 })).map(({ tag, digest }) => [tag, digest]),
      [['latest', present.digest]],
    );
    await restore(at, present, 'latest', true);
    assert.equal((await find(at, 'latest')).digest, present.digest);
  });

  test('what is pushed again lives beside the copy that is kept, and bytes stay exact', async () => {
    const at = place();
    const before = await usage();
    const { layer, image } = await pushFresh(at, {}, 'v1');
    await deletions().manifest(at, me, image.digest);
    await bench.push(at, layer);
    await push(at, image, 'v1');
    assert.deepEqual(await listings().manifests(at, me, page), []);
    await deletions().manifest(at, me, image.digest);
    await restore(at, image, 'v1');
    await deletions().manifest(at, me, image.digest);
    assert.equal(await dropDeleted(expiry(), at, me), 1);
    assert.equal(await usage(), before);
  });

  test('what a scanner said of a manifest holds again when it comes back, restored or pushed', async () => {
    const at = place();
    const { layer, image } = await pushFresh(at, {}, 'v1');
    const say = async (quarantine: QuarantineChange) =>
      await new AttributeChanges({ ...bench.here, region: testRegion }).manifest(at, me, image.digest, { quarantine });
    const said = async () => (await new Metadata(bench.here).manifest(at, me, image.digest)).quarantine;
    const pushAgain = async () => {
      await bench.push(at, layer);
      await push(at, image, 'v1');
    };
    const comeBack: readonly (() => Promise<unknown>)[] = [
      async () => await restore(at, image, 'v1'),
      pushAgain,
      async () => {
        await dropDeleted(expiry(), at, me);
        await pushAgain();
      },
      async () => {
        await pushAgain();
        await dropDeleted(expiry(), at, me);
      },
    ];
    const failed: Quarantine = { state: 'Failed', details: '{"scanner":"sample"}' };
    await say(failed);
    for (const back of comeBack) {
      await deletions().manifest(at, me, image.digest);
      await back();
      assert.deepEqual(await said(), failed);
    }
    await setPolicy(false);
    await deletions().manifest(at, me, image.digest);
    await pushAgain();
    await setPolicy(true);
    assert.deepEqual(await said(), failed);

    const passed: Quarantine = { state: 'Passed', details: '{"scanner":"another"}' };
    await say(passed);
    await deletions().manifest(at, me, image.digest);
    await restore(at, image, 'v1');
    assert.deepEqual(await said(), passed);
    await deletions().manifest(at, me, image.digest);
    await dropDeleted(expiry(), at, me);
    await pushAgain();
    assert.deepEqual(
      await said(),
      { state: 'Passed', details: undefined },
      'nothing is kept of what has passed and left',
    );
  });

  test('a policy that is switched off keeps what it has for as long, and nothing new', async () => {
    const at = place();
    const { image: kept } = await pushFresh(at, {}, 'kept');
    await deletions().manifest(at, me, kept.digest);
    await setPolicy(false);
    const { image: lost } = await pushFresh(at, {}, 'lost');
    await deletions().manifest(at, me, lost.digest);
    assert.equal(await expireDeleted(expiry(), job), 0);
    await restore(at, kept, 'kept');
    await assert.rejects(restore(at, lost, 'lost'), { error: 'manifestUnknown' });
    await setPolicy(true);
  });

  const whole = async (at: Place, all: readonly SampleManifest[]) =>
    await Promise.all(all.map(async (each) => await isThere(at, each)));

  for (const isSigned of [false, true])
    test(`a drop that is cut off leaves no index ${isSigned ? 'of a signature ' : ''}that misses a part`, async () => {
      const at = place();
      const layer = sampleBlob('of many', 50);
      await bench.push(at, layer);
      const images = Array.from({ length: 230 }, (_, n) =>
        sampleImage([layer], { annotations: { n: `${at.repository} ${n}` } }),
      ).toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
      for (const each of images) await push(at, each);
      const [part = assert.fail()] = images;
      const image = images.at(-1) ?? assert.fail();
      // By its digest it would be dropped with the last.
      const indexes = Array.from({ length: 10_000 }, (_, n) => sampleIndex([part], { annotations: { n: `${n}` } }));
      const index = indexes.find(({ digest }) => digest > (images[225]?.digest ?? '')) ?? assert.fail();
      await push(at, index, isSigned ? (cosignTags(image.digest)[0] ?? '') : 'v1');
      await deletions().repository(at, me);
      let steps = 0;
      const change: typeof bench.here.change = async (...given) => {
        steps += 1;
        // After the first that drops something.
        if (steps === 3) throw new Error('killed');
        return await bench.here.change(...given);
      };
      await assert.rejects(dropDeleted({ ...expiry(), change }, at, me), /killed/);
      await restore(at, isSigned ? image : index, 'v1');
      assert.deepEqual(await whole(at, [index, part]), [true, true]);
    });

  test('what an index lists stays as long as the index, also where the clocks of processes differ', async () => {
    const at = place();
    const { image: part } = await pushFresh(at);
    const index = sampleIndex([part]);
    await push(at, index, 'multi');
    await deletions().repository(at, me);
    await bench.database.transaction(async (tx) => {
      const earlier = { deleted_at: clock.nowMicros() - 1_000_000 };
      await tx.updateTable('deleted_manifests').set(earlier).where('digest', '=', part.digest).execute();
    });
    const keptDigests = async () => (await listings().manifests(at, me, page)).map(({ digest }) => digest);
    clock.advance(7 * dayMs - 500);
    await expireDeleted(expiry(), job);
    assert.deepEqual((await keptDigests()).toSorted(), [index.digest, part.digest].toSorted());
    clock.advance(500);
    await expireDeleted(expiry(), job);
    assert.deepEqual(await keptDigests(), []);
  });

  test('an index whose part is gone for good stays away, with its other parts; with sparse manifests it comes back', async () => {
    const at = place();
    const { image: gone } = await pushFresh(at);
    const { image: other } = await pushFresh(at);
    const inner = sampleIndex([gone, other]);
    await push(at, inner);
    const index = sampleIndex([inner]);
    await push(at, index, 'multi');
    for (const each of [index, inner, other]) await deletions().manifest(at, me, each.digest);
    await setPolicy(false);
    await deletions().manifest(at, me, gone.digest);
    await setPolicy(true);
    await assert.rejects(restore(at, index, 'multi'), {
      error: 'manifestUnknown',
      detail: { repository: at.repository, digest: gone.digest },
    });
    assert.deepEqual(await whole(at, [index, inner, other]), [false, false, false]);
    const sparse = new Restores({ ...bench.here, region: testRegion, isSparseAllowed: true });
    await sparse.restore(at, me, { digest: index.digest, tag: undefined, isForced: false });
    assert.deepEqual(await whole(at, [index, inner, other]), [true, true, true]);
  });

  test('an index that refers to an image comes back with its parts, and stays away where one is gone for good', async () => {
    const at = place();
    const { image } = await pushFresh(at, {}, 'v1');
    const { image: part } = await pushFresh(at);
    const index = sampleIndex([part], { subject: descriptorOf(image, image.mediaType) });
    await push(at, index);
    await deletions().repository(at, me);
    await restore(at, image, 'v1');
    assert.deepEqual(await whole(at, [image, index, part]), [true, true, true]);
    await deletions().manifest(at, me, image.digest);
    await setPolicy(false);
    await deletions().manifest(at, me, part.digest);
    await setPolicy(true);
    await restore(at, image, 'v1');
    assert.deepEqual(await whole(at, [image, index, part]), [true, false, false]);
  });

  for (const { what, step, meanwhile, kept } of [
    {
      what: 'is dropped for good',
      // After the image itself.
      step: 2,
      meanwhile: async (at: Place) => {
        await dropDeleted(expiry(), at, me);
      },
      kept: false,
    },
    {
      what: 'has lost its tag to another',
      // After what refers to it.
      step: 3,
      meanwhile: async (at: Place, image: SampleManifest) => {
        const { layer, image: other } = fresh();
        await bench.push(at, layer);
        await push(at, other, ...cosignTags(image.digest).slice(0, 1));
      },
      kept: true,
    },
  ])
    test(`a restore goes on where what belongs to the image ${what} meanwhile`, async () => {
      const at = place();
      const { layer, image } = fresh();
      await bench.push(at, layer);
      await push(at, image, 'v1');
      const signature = sampleImage([layer], { annotations: { signs: image.digest } });
      await push(at, signature, ...cosignTags(image.digest).slice(0, 1));
      const referrer = sampleImage([layer], { subject: descriptorOf(image, image.mediaType) });
      await push(at, referrer);
      await deletions().manifest(at, me, image.digest);
      let steps = 0;
      const change: typeof bench.here.change = async (...given) => {
        steps += 1;
        if (steps === step) await meanwhile(at, image);
        return await bench.here.change(...given);
      };
      const slow = new Restores({ ...bench.here, change, region: testRegion });
      await slow.restore(at, me, { digest: image.digest, tag: parseTag('v1'), isForced: false });
      const there = [await isThere(at, image), await isThere(at, referrer), await isThere(at, signature)];
      assert.deepEqual(there, [true, kept, false]);
    });
});
