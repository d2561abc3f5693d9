import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  fullAuthority,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  configType,
  descriptorOf,
  hashOf,
  manifestOf,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import type { Digest } from '../../core/digest.ts';
import { mediaTypes } from '../../core/media-types.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import type { Place } from './place.ts';

const me = fullAuthority('me');
const unknown = { error: 'manifestUnknown' };
const foreignType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let here: ContentProcess;
  let count = 0;
  const fresh = () => {
    count += 1;
    return bench.place(`app${count}`);
  };
  const put = (place: Place, manifest: SampleManifest, reference: string = manifest.digest, tags: string[] = []) =>
    here.manifests.push(place, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(reference),
      tags: tags.map(parseTag),
    });
  const get = (place: Place, reference: string) => here.manifests.find(place, parseReference(reference), me);
  const remove = (place: Place, reference: string) => here.manifests.remove(place, me, parseReference(reference));
  /** An image with new blobs, which are pushed too. */
  const imageIn = async (place: Place, more = {}): Promise<SampleManifest> => {
    const blobs = [sampleBlob(), sampleBlob()];
    for (const blob of blobs) await bench.push(place, blob);
    return sampleImage(blobs, more);
  };
  const pushedImage = async (place: Place, ...references: string[]): Promise<SampleManifest> => {
    const image = await imageIn(place);
    for (const reference of references.length === 0 ? [image.digest] : references) await put(place, image, reference);
    return image;
  };
  const missing = (...digests: Digest[]) => ({
    error: 'manifestBlobUnknown',
    detail: digests.map((digest) => ({ digest })),
  });
  const tagRow = async (name: string, digest: Digest) =>
    await bench.database.read
      .selectFrom('tags')
      .selectAll()
      .where('name', '=', name)
      .where('digest', '=', digest)
      .executeTakeFirstOrThrow();

  before(async () => {
    bench = await contentBench(open);
    here = bench.here;
  });
  after(() => bench.folder.remove());

  test('a manifest comes back byte for byte, by tag and by digest', async () => {
    const place = fresh();
    const { bytes, mediaType } = await imageIn(place);
    const spaced = Buffer.from(`\n  ${bytes.toString('utf8').replaceAll(',', ' ,\t')}  \r\n`);
    const digest = hashOf(spaced);
    assert.deepEqual(await put(place, { bytes: spaced, digest, mediaType }, 'latest'), { digest, subject: undefined });
    for (const reference of ['latest', digest]) {
      const found = await get(place, reference);
      assert(spaced.equals(found.body));
      assert.deepEqual([found.digest, found.mediaType], [digest, mediaType]);
    }
  });

  test('a manifest is unknown in other repositories and registries', async () => {
    const place = fresh();
    const image = await pushedImage(place, 'v1');
    const other = fresh();
    await pushedImage(other, 'v2');
    for (const at of [other, fresh(), { ...place, registryUid: bench.otherUid }]) {
      await assert.rejects(get(at, 'v1'), unknown);
      await assert.rejects(get(at, image.digest), unknown);
      await assert.rejects(remove(at, 'v1'), unknown);
      await assert.rejects(remove(at, image.digest), unknown);
    }
  });

  test('a manifest whose blobs are not here is refused with their digests, and leaves nothing', async () => {
    const place = fresh();
    const [config, layer, other] = [sampleBlob(), sampleBlob(), sampleBlob()];
    await bench.push(place, config);
    await bench.push(fresh(), layer);
    const image = sampleImage([config, layer, other]);
    await assert.rejects(put(place, image, 'latest'), missing(layer.digest, other.digest));
    await assert.rejects(get(place, 'latest'), unknown);
    await assert.rejects(get(place, image.digest), unknown);
  });

  test('an index whose children are not here is refused, and one that names a blob as a manifest too', async () => {
    const place = fresh();
    const child = await pushedImage(place);
    const elsewhere = await pushedImage(fresh());
    const blob = sampleBlob();
    await bench.push(place, blob);
    const asManifest = { ...blob, mediaType: mediaTypes.ociManifest };
    await assert.rejects(put(place, sampleIndex([child, elsewhere])), missing(elsewhere.digest));
    await assert.rejects(put(place, sampleIndex([child, asManifest])), missing(blob.digest));
    await put(place, sampleIndex([child]));
  });

  test('layers that may not be distributed may be missing, and count where they were pushed', async () => {
    const place = fresh();
    const [config, absent, present] = [sampleBlob(), sampleBlob(), sampleBlob()];
    await bench.push(place, config);
    await bench.push(place, present);
    const layers = [absent, present].map((layer) => descriptorOf(layer, foreignType));
    await put(place, sampleImage([config], { layers }));
    await assert.rejects(here.blobs.remove(place, me, present.digest), { error: 'blobReferenced' });
  });

  test('a missing subject is no fault', async () => {
    const place = fresh();
    const subject = sampleImage([sampleBlob()]);
    const image = await imageIn(place, { subject: descriptorOf(subject, subject.mediaType) });
    assert.deepEqual(await put(place, image), { digest: image.digest, subject: subject.digest });
  });

  test('where the setting allows it, manifests may name what was never pushed', async () => {
    const place = fresh();
    const sparse = (await bench.another({ isSparseAllowed: true })).manifests;
    const child = sampleImage([sampleBlob(), sampleBlob()]);
    for (const { bytes: body, mediaType: contentType, digest } of [child, sampleIndex([child])]) {
      await sparse.push(place, me, { body, contentType, reference: { kind: 'digest', digest }, tags: [] });
      await get(place, digest);
    }
  });

  test('a digest that the bytes do not have is refused', async () => {
    const place = fresh();
    const image = await imageIn(place);
    const wrong = sampleBlob().digest;
    await assert.rejects(put(place, image, wrong), { error: 'digestInvalid' });
    await assert.rejects(put(place, image, hashOf(Buffer.from('x'), 'sha512')), { error: 'digestInvalid' });
    await assert.rejects(get(place, image.digest), unknown);
  });

  test('a manifest is kept under the algorithm it is pushed by', async () => {
    const place = fresh();
    const image = await imageIn(place);
    const digest = hashOf(image.bytes, 'sha512');
    assert.equal((await put(place, image, digest)).digest, digest);
    assert.equal((await get(place, digest)).digest, digest);
    await assert.rejects(get(place, image.digest), unknown);
    await put(place, sampleIndex([{ ...image, digest }]));
  });

  test('what the parser refuses is not stored', async () => {
    const place = fresh();
    const confused = manifestOf({ ...JSON.parse(String((await imageIn(place)).bytes)), manifests: [] });
    await assert.rejects(put(place, confused, 'latest'), { error: 'manifestInvalid' });
    await assert.rejects(get(place, 'latest'), unknown);
  });

  test('one push by digest sets many tags', async () => {
    const place = fresh();
    const image = await imageIn(place);
    await put(place, image, image.digest, ['v1', 'v1.2', 'latest', 'v1']);
    for (const tag of ['v1', 'v1.2', 'latest']) assert.equal((await get(place, tag)).digest, image.digest);
  });

  test('a tag moves to the newest push, and the older manifest stays', async () => {
    const place = fresh();
    const first = await pushedImage(place, 'latest');
    const second = await pushedImage(place, 'latest');
    assert.equal((await get(place, 'latest')).digest, second.digest);
    assert.equal((await get(place, first.digest)).digest, first.digest);
    await put(place, first, 'latest');
    assert.equal((await get(place, 'latest')).digest, first.digest);
  });

  test("a tag's hybrid time grows, though the clock stands still or is set back", async () => {
    const place = fresh();
    const clock = new HeldClock();
    const { manifests } = await bench.another({ clock });
    const times: number[] = [];
    for (const step of [0, 0, -3_600_000_000, 1]) {
      clock.setWall(clock.nowMicros() + step);
      const { bytes: body, digest, mediaType: contentType } = await imageIn(place);
      await manifests.push(place, me, { body, contentType, reference: parseReference('hybrid'), tags: [] });
      times.push((await tagRow('hybrid', digest)).hybrid_time);
    }
    const [start = 0] = times;
    assert.deepEqual(times, [start, start + 1, start + 2, start + 3]);
  });

  test('a removed tag is gone and its manifest stays', async () => {
    const place = fresh();
    const image = await pushedImage(place, 'v1', 'v2');
    await remove(place, 'v1');
    await assert.rejects(get(place, 'v1'), unknown);
    await assert.rejects(remove(place, 'v1'), unknown);
    for (const reference of ['v2', image.digest]) await get(place, reference);
  });

  test('a removed manifest takes its tags along, and comes back with a new push', async () => {
    const place = fresh();
    const image = await pushedImage(place, 'v1', 'v2');
    const kept = await pushedImage(place, 'v3');
    await remove(place, image.digest);
    for (const reference of ['v1', 'v2', image.digest]) await assert.rejects(get(place, reference), unknown);
    await assert.rejects(remove(place, image.digest), unknown);
    await get(place, 'v3');
    await put(place, image, 'v1');
    assert.equal((await get(place, 'v1')).digest, image.digest);
    await assert.rejects(get(place, 'v2'), unknown);
    await get(place, kept.digest);
  });

  test('a child of an index is not removed before the index; what refers to a manifest goes with it', async () => {
    const place = fresh();
    const child = await pushedImage(place, 'child');
    const index = sampleIndex([child]);
    await put(place, index, 'multi');
    const refused = { error: 'manifestReferenced', detail: { digest: child.digest, index: index.digest } };
    await assert.rejects(remove(place, child.digest), refused);
    await remove(place, 'child');
    await remove(place, index.digest);
    const referrer = await imageIn(place, { subject: descriptorOf(child, child.mediaType) });
    await put(place, referrer);
    await remove(place, child.digest);
    await assert.rejects(get(place, referrer.digest), unknown);
  });

  test('4,096 layers are stored with all their references', async () => {
    const place = fresh();
    const { manifests } = await bench.another({ isSparseAllowed: true });
    const blobs = Array.from({ length: 4097 }, (_unused, index) => sampleBlob(`layer ${index}`));
    const { bytes: body, digest, mediaType: contentType } = sampleImage(blobs);
    await manifests.push(place, me, { body, contentType, reference: { kind: 'digest', digest }, tags: [] });
    const { references } = await bench.database.read
      .selectFrom('manifest_references')
      .select((select) => select.fn.countAll<number>().as('references'))
      .where('manifest_digest', '=', digest)
      .executeTakeFirstOrThrow();
    assert.equal(Number(references), 4097);
    await assert.rejects(
      here.manifests.push(place, me, { body, contentType, reference: parseReference('x'), tags: [] }),
      {
        error: 'manifestBlobUnknown',
      },
    );
    await remove(place, digest);
  });

  const platforms = [
    { os: 'windows', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
    { os: 'linux', architecture: 'amd64' },
  ];
  test('clients from before indexes get the linux/amd64 image of one', async () => {
    const place = fresh();
    const children = await Promise.all(platforms.map(() => pushedImage(place)));
    const manifests = children.map((child, at) => ({
      ...descriptorOf(child, child.mediaType),
      platform: platforms[at],
    }));
    await put(place, sampleIndex([], { manifests }), 'multi');
    await put(place, sampleIndex([], { manifests: manifests.slice(0, 2) }), 'others');
    const index = await get(place, 'multi');
    assert.equal((await here.manifests.platformImage(place, index, me)).digest, children[2]?.digest);
    await assert.rejects(here.manifests.platformImage(place, await get(place, 'others'), me), unknown);
  });

  test('every change is an event of the registry, with its new state', async () => {
    const place = fresh();
    const stream = streamOf(bench.registryUid, testRegion);
    const cursor = await here.journal.head(stream);
    const image = await imageIn(place, { subject: descriptorOf(sampleBlob('subject'), mediaTypes.ociManifest) });
    await put(place, image, image.digest, ['a', 'b']);
    await assert.rejects(put(place, sampleImage([sampleBlob()])), { error: 'manifestBlobUnknown' });
    await remove(place, 'a');
    await remove(place, image.digest);
    const times = (await here.journal.after(cursor, 100)).map(({ data }) => data.hybridTime).filter(Boolean);
    const events = (await here.journal.after(cursor, 100)).map(({ type, actor, data }) => ({ type, actor, data }));
    const repository = place.repository;
    const { digest } = image;
    const last = { mediaType: image.mediaType, sizeBytes: image.bytes.length, artifactType: configType };
    const tag = (name: string, at: number) => ({
      repository,
      tag: name,
      digest,
      hybridTime: times[at],
      region: testRegion,
      isNew: true,
    });
    assert.deepEqual(events, [
      {
        type: 'manifest.pushed',
        actor: 'me',
        data: {
          repository,
          digest,
          mediaType: image.mediaType,
          sizeBytes: image.bytes.length,
          artifactType: configType,
          subject: sampleBlob('subject').digest,
          tags: ['a', 'b'],
        },
      },
      { type: 'tag.set', actor: 'me', data: tag('a', 0) },
      { type: 'tag.set', actor: 'me', data: tag('b', 1) },
      { type: 'tag.deleted', actor: 'me', data: { repository, tag: 'a', digest } },
      { type: 'manifest.deleted', actor: 'me', data: { repository, digest, ...last, tags: ['b'] } },
      { type: 'repository.deleted', actor: 'me', data: { repository } },
    ]);
    assert(times.every((time) => typeof time === 'number'));
  });
});
