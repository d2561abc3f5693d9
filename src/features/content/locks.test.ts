import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  fullAuthority,
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
import { parseDigest } from '../../core/digest.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { AttributeChanges } from './attribute-changes.ts';
import { type AttributeName, attributeNames } from './attributes.ts';
import { Deletions } from './deletions.ts';
import type { Place } from './place.ts';

const me = fullAuthority('me');
const off = (...names: AttributeName[]) => Object.fromEntries(names.map((name) => [name, false]));
const locked = (detail: object) => ({ error: 'contentLocked', detail });

forEachDatabase((kind, open) => {
  let bench: ContentBench;
  let here: ContentProcess;
  let attributes: AttributeChanges;
  let deletions: Deletions;
  let count = 0;
  const fresh = () => {
    count += 1;
    return bench.place(`app${count}`);
  };
  const put = (place: Place, manifest: SampleManifest, reference: string = manifest.digest) =>
    here.manifests.push(place, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(reference),
      tags: [],
    });
  const get = (place: Place, reference: string) => here.manifests.find(place, parseReference(reference), me);
  const imageIn = async (place: Place, more = {}, ...references: string[]): Promise<SampleManifest> => {
    const blobs = [sampleBlob(), sampleBlob()];
    for (const blob of blobs) await bench.push(place, blob);
    const image = sampleImage(blobs, more);
    for (const reference of references) await put(place, image, reference);
    return image;
  };
  const lockTag = (place: Place, tag: string, ...names: AttributeName[]) =>
    attributes.tag(place, me, parseTag(tag), off(...names));

  before(async () => {
    bench = await contentBench(open);
    here = bench.here;
    attributes = new AttributeChanges({ ...here, region: testRegion });
    deletions = new Deletions({ ...here, region: testRegion });
  });
  after(() => bench.folder.remove());

  test('a tag that may not be written is not moved, pushed again, untagged or deleted; others on its manifest are', async () => {
    const place = fresh();
    const { repository } = place;
    const image = await imageIn(place, {}, 'v1', 'other');
    const next = await imageIn(place);
    await lockTag(place, 'v1', 'writeEnabled');
    const refused = locked({ repository, tag: 'v1', writeEnabled: false });
    await assert.rejects(put(place, next, 'v1'), refused);
    await assert.rejects(put(place, image, 'v1'), refused);
    await assert.rejects(deletions.tag(place, me, parseTag('v1')), refused);
    await assert.rejects(deletions.manifest(place, me, image.digest), refused);
    await assert.rejects(deletions.repository(place, me), refused);
    await put(place, next, 'other');
    await deletions.tag(place, me, parseTag('other'));
    assert.equal((await get(place, 'v1')).digest, image.digest);
    await attributes.tag(place, me, parseTag('v1'), { writeEnabled: true });
    await put(place, next, 'v1');
    assert.equal((await get(place, 'v1')).digest, next.digest);
  });

  test('a tag that may not be deleted is moved, and keeps its lock', async () => {
    const place = fresh();
    const { repository } = place;
    await imageIn(place, {}, 'v1');
    const next = await imageIn(place);
    await lockTag(place, 'v1', 'deleteEnabled');
    await put(place, next, 'v1');
    const refused = locked({ repository, tag: 'v1', deleteEnabled: false });
    await assert.rejects(deletions.tag(place, me, parseTag('v1')), refused);
    await assert.rejects(deletions.manifest(place, me, next.digest), refused);
    await assert.rejects(deletions.reference(place, me, parseReference('v1')), refused);
  });

  test('a manifest that may not be written or deleted stays; its tags come and go', async () => {
    for (const name of ['writeEnabled', 'deleteEnabled'] as const) {
      const place = fresh();
      const { digest, ...image } = await imageIn(place, {}, 'v1');
      await attributes.manifest(place, me, digest, off(name));
      const refused = locked({ repository: place.repository, digest, [name]: false });
      await assert.rejects(deletions.manifest(place, me, digest), refused);
      await assert.rejects(deletions.repository(place, me), refused);
      await deletions.tag(place, me, parseTag('v1'));
      await put(place, { digest, ...image }, 'v2');
      assert.equal((await get(place, 'v2')).digest, digest);
    }
  });

  test('what may not be read is not pulled: by the tag, the manifest or the whole repository', async () => {
    const place = fresh();
    const { repository } = place;
    const blob = sampleBlob();
    await bench.push(place, blob);
    const image = sampleImage([blob]);
    for (const tag of ['v1', 'v2']) await put(place, image, tag);
    await lockTag(place, 'v1', 'readEnabled');
    await assert.rejects(get(place, 'v1'), locked({ repository, tag: 'v1', readEnabled: false }));
    await get(place, 'v2');
    await get(place, image.digest);
    await attributes.manifest(place, me, image.digest, off('readEnabled'));
    await assert.rejects(get(place, 'v2'), locked({ repository, tag: 'v2', readEnabled: false }));
    await assert.rejects(get(place, image.digest), locked({ repository, digest: image.digest, readEnabled: false }));
    await attributes.manifest(place, me, image.digest, { readEnabled: true });
    await attributes.repository(place, me, off('readEnabled'));
    const refused = locked({ repository, readEnabled: false });
    await assert.rejects(get(place, 'v2'), refused);
    await assert.rejects(here.blobs.find(place, blob.digest, me), refused);
    assert.equal(await here.blobs.mount(fresh(), me, blob.digest, undefined), false);
    await assert.rejects(get(place, 'nothing'), { error: 'manifestUnknown' });
  });

  test('a repository that may not be written takes nothing and loses nothing', async () => {
    const place = fresh();
    const { repository } = place;
    const image = await imageIn(place, {}, 'v1');
    const source = fresh();
    const blob = sampleBlob();
    await bench.push(source, blob);
    await attributes.repository(place, me, off('writeEnabled'));
    const refused = locked({ repository, writeEnabled: false });
    await assert.rejects(put(place, image, 'v2'), refused);
    await assert.rejects(bench.push(place, sampleBlob()), refused);
    await assert.rejects(bench.push(place, blob), refused);
    await assert.rejects(here.blobs.mount(place, me, blob.digest, source.repository), refused);
    await assert.rejects(here.blobs.remove(place, me, blob.digest), refused);
    await assert.rejects(deletions.tag(place, me, parseTag('v1')), refused);
    await assert.rejects(deletions.manifest(place, me, image.digest), refused);
    await assert.rejects(deletions.repository(place, me), refused);
    await get(place, 'v1');
    await attributes.repository(place, me, { writeEnabled: true });
    await deletions.manifest(place, me, image.digest);
  });

  test('a repository that may not be deleted gives away single images; its lock ends with the last of them', async () => {
    const place = fresh();
    const [image, other] = [await imageIn(place, {}, 'v1'), await imageIn(place, {}, 'v2')];
    await attributes.repository(place, me, off('deleteEnabled'));
    await deletions.manifest(place, me, image.digest);
    await assert.rejects(
      deletions.repository(place, me),
      locked({ repository: place.repository, deleteEnabled: false }),
    );
    await deletions.manifest(place, me, other.digest);
    await assert.rejects(attributes.repository(place, me, {}), { error: 'nameUnknown' });
    await put(place, await imageIn(place), 'v1');
    assert.equal((await deletions.repository(place, me)).tags.length, 1);
  });

  test('attributes of what is not there are not set', async () => {
    const place = fresh();
    const set = off(...attributeNames);
    const { digest } = sampleBlob();
    await assert.rejects(attributes.repository(place, me, set), { error: 'nameUnknown' });
    await assert.rejects(attributes.tag(place, me, parseTag('v1'), set), { error: 'nameUnknown' });
    await imageIn(place, {}, 'v1');
    await assert.rejects(attributes.tag(place, me, parseTag('v2'), set), { error: 'tagUnknown' });
    await assert.rejects(attributes.manifest(place, me, digest, set), { error: 'manifestUnknown' });
  });

  test('a change of attributes is an event with all of them; one that changes nothing is none', async () => {
    const place = fresh();
    const { digest } = await imageIn(place, {}, 'v1');
    const cursor = await here.journal.head(`registry/${bench.registryUid}/${testRegion}`);
    await attributes.repository(place, me, off('listEnabled'));
    await attributes.repository(place, me, off('listEnabled'));
    await lockTag(place, 'v1', 'deleteEnabled', 'writeEnabled');
    await attributes.manifest(place, me, digest, off('readEnabled'));
    const events = await here.journal.after(cursor, 10);
    const { repository } = place;
    const on = Object.fromEntries(attributeNames.map((name) => [name, true]));
    assert.deepEqual(
      events.map(({ type, data }) => ({ type, data })),
      [
        { type: 'repository.updated', data: { repository, attributes: { ...on, listEnabled: false } } },
        {
          type: 'tag.updated',
          data: { repository, tag: 'v1', digest, attributes: { ...on, deleteEnabled: false, writeEnabled: false } },
        },
        { type: 'manifest.updated', data: { repository, digest, attributes: { ...on, readEnabled: false } } },
      ],
    );
  });

  test('what refers to a deleted manifest goes too, unless it has a tag, a lock or an index of its own', async () => {
    const place = fresh();
    const image = await imageIn(place, {}, 'v1');
    const subject = descriptorOf(image, image.mediaType);
    const refer = async (reference: string | undefined, more = {}) => {
      const referrer = await imageIn(place, { subject, ...more });
      await put(place, referrer, reference ?? referrer.digest);
      return referrer;
    };
    const signature = await refer(undefined);
    const ofSignature = await refer(undefined, { subject: descriptorOf(signature, signature.mediaType) });
    const tagged = await refer('sbom');
    const kept = await refer(undefined);
    await attributes.manifest(place, me, kept.digest, off('deleteEnabled'));
    const listed = await refer(undefined);
    await put(place, sampleIndex([listed]), 'list');
    await deletions.manifest(place, me, image.digest);
    for (const gone of [image, signature, ofSignature])
      await assert.rejects(get(place, gone.digest), { error: 'manifestUnknown' });
    for (const here of [tagged, kept, listed]) await get(place, here.digest);
  });

  test('more referrers than one transaction takes go with their manifest', async () => {
    const place = fresh();
    const image = await imageIn(place, {}, 'v1');
    const subject = descriptorOf(image, image.mediaType);
    const blob = sampleBlob();
    await bench.push(place, blob);
    for (let n = 0; n < 120; n += 1) await put(place, sampleImage([blob], { subject, annotations: { n: String(n) } }));
    const other = await imageIn(place, {}, 'v2');
    await deletions.manifest(place, me, image.digest);
    const left = await bench.database.read
      .selectFrom('manifests as m')
      .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
      .where('r.name', '=', place.repository)
      .select('m.digest')
      .execute();
    assert.deepEqual(
      left.map(({ digest }) => digest),
      [other.digest],
    );
  });

  test('a repository goes with all it holds, more than one transaction takes', async () => {
    const place = fresh();
    const { manifests } = await bench.another({ isSparseAllowed: true });
    const blob = sampleBlob();
    await bench.push(place, blob);
    const child = sampleImage([blob], { annotations: { child: 'yes' } });
    const images = [
      child,
      sampleIndex([child]),
      ...Array.from({ length: 520 }, (_, n) => sampleImage([blob], { annotations: { n: String(n) } })),
    ];
    for (const [index, image] of images.entries())
      await manifests.push(place, me, {
        body: image.bytes,
        contentType: image.mediaType,
        reference: parseReference(image.digest),
        tags: [parseTag(`t${index}`), parseTag(`u${index}`)].slice(0, index % 3),
      });
    const { manifests: gone, tags } = await deletions.repository(place, me);
    assert.deepEqual([...gone].sort(), images.map(({ digest }) => digest).sort());
    assert.equal(tags.length, 522);
    await assert.rejects(here.blobs.find(place, blob.digest, me), { error: 'blobUnknown' });
    await assert.rejects(deletions.repository(place, me), { error: 'nameUnknown' });
    await assert.rejects(here.listings.tags(place, me, { limit: 1, last: '' }), { error: 'nameUnknown' });
  });

  test('what is pushed while a repository is deleted stays whole, whatever the clocks say', async () => {
    const place = fresh();
    const [first, second] = [await imageIn(place, {}, 'v1'), await imageIn(place, {}, 'v2')];
    const index = sampleIndex([first]);
    const late = new HeldClock(here.clock.nowMicros() - 3_600_000_000);
    let isPushed = false;
    const between = new Deletions({
      ...here,
      region: testRegion,
      clock: late,
      failpoint: async (name) => {
        if (isPushed || name !== 'delete.commit.after') return;
        isPushed = true;
        await setTimeout(5);
        await put(place, index, 'all');
      },
    });
    const { manifests } = await between.repository(place, me);
    assert.deepEqual(manifests, [second.digest]);
    for (const { digest } of [first, index]) assert.equal((await get(place, digest)).digest, digest);
    const references = await bench.database.read
      .selectFrom('manifest_references')
      .where('manifest_digest', '=', first.digest)
      .select('digest')
      .execute();
    for (const { digest } of references) await here.blobs.find(place, parseDigest(digest), me);
    assert.equal(references.length, 2);
  });

  test('a lock that was answered holds for every push that ends after it', async () => {
    const place = fresh();
    const images = [await imageIn(place, {}, 'v1'), await imageIn(place, {}, 'v2')];
    const answers: string[] = [];
    const pushers = Array.from({ length: 8 }, async (_, index) => {
      for (let round = 0; round < 10; round += 1) {
        const image = images[(index + round) % 2];
        if (image === undefined) return;
        try {
          await put(place, image, `t${index}`);
          answers.push('pushed');
        } catch {
          answers.push('refused');
        }
      }
    });
    await attributes.repository(place, me, off('writeEnabled'));
    const tags = await bench.database.read.selectFrom('tags').selectAll().orderBy('name').execute();
    await Promise.all(pushers);
    assert.deepEqual(await bench.database.read.selectFrom('tags').selectAll().orderBy('name').execute(), tags, kind);
    assert(answers.includes('refused'));
  });
});
