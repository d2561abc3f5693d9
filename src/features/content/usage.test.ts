import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
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
  descriptorOf,
  type SampleBlob,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { parseReference } from '../../core/reference.ts';
import { anonymous } from '../identity/principal.ts';
import { updateOwnLimits } from '../registries/registry-store.ts';
import { cosignTags } from './cosign-tags.ts';
import { Deletions } from './deletions.ts';
import { Manifests } from './manifests.ts';
import type { Place } from './place.ts';
import type { StorageLimits } from './storage-use.ts';
import { UsageReports } from './usage-reports.ts';

const me = fullAuthority('me');
/** More than a statement of SQLite has parameters, where there is time. */
const many = process.env.BERTH_TEST_LONG === '1' ? 33_000 : 1_000;

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let here: ContentProcess;
  let deletions: Deletions;
  let reports: UsageReports;
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
  /** An image of these blobs, which are pushed too. */
  const pushed = async (place: Place, blobs: readonly SampleBlob[], more = {}): Promise<SampleManifest> => {
    for (const blob of blobs) await bench.push(place, blob);
    const image = sampleImage(blobs, more);
    await put(place, image);
    return image;
  };
  const used = async (registryUid = bench.registryUid) => (await reports.registry(registryUid, me)).usedBytes;
  /** The same from what is there. */
  const recounted = async () => {
    const ofRegistry = bench.database.read
      .selectFrom('repositories as r')
      .innerJoin('manifests as m', 'm.repository_uid', 'r.uid')
      .where('r.registry_uid', '=', bench.registryUid);
    const manifests = await ofRegistry.select('m.size').execute();
    const blobs = await ofRegistry
      .innerJoin('manifest_references as x', (join) =>
        join.onRef('x.repository_uid', '=', 'r.uid').onRef('x.manifest_digest', '=', 'm.digest'),
      )
      .innerJoin('blob_links as l', (join) =>
        join.onRef('l.repository_uid', '=', 'r.uid').onRef('l.digest', '=', 'x.digest'),
      )
      .innerJoin('blobs as b', (join) =>
        join.onRef('b.registry_uid', '=', 'r.registry_uid').onRef('b.digest', '=', 'l.digest'),
      )
      .where('x.kind', '=', 'blob')
      .select(['b.digest', 'b.size'])
      .distinct()
      .execute();
    return [...manifests, ...blobs].reduce((sum, row) => sum + row.size, 0);
  };

  before(async () => {
    bench = await contentBench(open);
    here = bench.here;
    deletions = new Deletions({ ...here, region: testRegion });
    reports = new UsageReports({ database: bench.database });
  });
  after(() => bench.folder.remove());

  test('a blob counts once in its registry, from its first manifest to its last', async () => {
    const [one, other] = [fresh(), fresh()];
    const [config, shared, own] = [sampleBlob('c', 100), sampleBlob('s', 1000), sampleBlob('o', 10_000)];
    const start = await used();
    for (const blob of [config, shared, own]) await bench.push(one, blob);
    assert.equal(await used(), start, 'blobs that no manifest references');
    const first = await pushed(one, [config, shared, own]);
    await put(one, first, 'v1');
    assert.equal(await used(), start + 11_100 + first.bytes.length);
    const second = await pushed(other, [config, shared]);
    assert.equal(await used(), start + 11_100 + first.bytes.length + second.bytes.length);
    await deletions.manifest(one, me, first.digest);
    assert.equal(await used(), start + 1_100 + second.bytes.length);
    await deletions.repository(other, me);
    assert.equal(await used(), start);
    assert.equal(await used(bench.otherUid), 0);
  });

  test('what deleting would free is told to the byte, before', async () => {
    const [one, other] = [fresh(), fresh()];
    const blob = (size: number) => sampleBlob(`blob ${size}`, size);
    const image = await pushed(one, [blob(101), blob(1001), blob(5001)]);
    await put(one, image, 'v1');
    const sibling = await pushed(one, [blob(101), blob(2001)]);
    const signature = await pushed(one, [blob(7)], { subject: descriptorOf(image, image.mediaType) });
    await pushed(other, [blob(1001)]);
    const size = image.bytes.length + signature.bytes.length;
    assert.deepEqual(await reports.content(one, me, parseReference('v1')), {
      manifests: 2,
      referencedBytes: 101 + 1001 + 5001 + 7 + size,
      sharedBytes: 101 + 1001,
      heldAloneBytes: 5001 + 7 + size,
    });
    assert.deepEqual(await reports.repository(one, me), {
      manifests: 3,
      referencedBytes: 101 + 1001 + 5001 + 2001 + 7 + size + sibling.bytes.length,
      sharedBytes: 1001,
      heldAloneBytes: 101 + 5001 + 2001 + 7 + size + sibling.bytes.length,
    });
    const before = await used();
    await deletions.manifest(one, me, image.digest);
    assert.equal(before - (await used()), 5001 + 7 + size);
    const index = sampleIndex([sibling]);
    await put(one, index);
    assert.equal((await reports.content(one, me, parseReference(index.digest))).heldAloneBytes, index.bytes.length);
    await assert.rejects(reports.content(one, me, parseReference('v1')), { error: 'manifestUnknown' });
    await assert.rejects(reports.repository(fresh(), me), { error: 'nameUnknown' });
  });

  test("what lies under cosign's tags of an image is part of what deleting it would free", async () => {
    const place = fresh();
    const image = await pushed(place, [sampleBlob('signed', 3_011)]);
    const tagged = async (name: string, subject: SampleManifest, kind: number) => {
      const manifest = await pushed(place, [sampleBlob(name, 10)], { annotations: { name } });
      await put(place, manifest, cosignTags(subject.digest)[kind]);
      return manifest;
    };
    const signature = await tagged('signature', image, 0);
    await tagged('of the signature', signature, 0);
    const attached = await pushed(place, [sampleBlob('attached', 20)], {
      subject: descriptorOf(image, image.mediaType),
    });
    await tagged('of what is attached', attached, 1);
    const sbom = await tagged('sbom', image, 2);
    await put(place, sbom, 'kept');
    const { heldAloneBytes, manifests } = await reports.content(place, me, parseReference(image.digest));
    assert.equal(manifests, 5);
    const before = await used();
    await deletions.manifest(place, me, image.digest);
    assert.equal(before - (await used()), heldAloneBytes);
  });

  test('what an index under a tag of cosign lists leaves with it where it refers to what leaves, and is told so', async () => {
    const place = fresh();
    const image = await pushed(place, [sampleBlob('in parts', 4_011)]);
    const subject = descriptorOf(image, image.mediaType);
    const parts = [
      await pushed(place, [sampleBlob('part', 30)], { subject, annotations: { n: '1' } }),
      await pushed(place, [sampleBlob('part of nothing', 40)], { annotations: { n: '2' } }),
    ];
    await put(place, sampleIndex(parts), cosignTags(image.digest)[2]);
    const { heldAloneBytes, manifests } = await reports.content(place, me, parseReference(image.digest));
    const before = await used();
    await deletions.manifest(place, me, image.digest);
    assert.equal(before - (await used()), heldAloneBytes);
    assert.equal(manifests, 3);
  });

  test('what the index itself lists is told where it refers to a signature of the index', async () => {
    const place = fresh();
    const signature = await pushed(place, [sampleBlob('of an index', 20)]);
    const subject = descriptorOf(signature, signature.mediaType);
    const part = await pushed(place, [sampleBlob('part that refers', 50)], { subject });
    const index = sampleIndex([part]);
    await put(place, index, 'multi');
    await put(place, signature, cosignTags(index.digest)[0]);
    const { heldAloneBytes, manifests } = await reports.content(place, me, parseReference('multi'));
    const before = await used();
    await deletions.manifest(place, me, index.digest);
    assert.equal(before - (await used()), heldAloneBytes);
    assert.equal(manifests, 3);
  });

  test(`an image under whose referrers lie ${many} signatures is told as any other`, async () => {
    const place = fresh();
    const image = await pushed(place, [sampleBlob('signed often', 10)]);
    const { uid } = await bench.database.read
      .selectFrom('repositories')
      .where('name', '=', place.repository)
      .select('uid')
      .executeTakeFirstOrThrow();
    const digestOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
    const common = { repository_uid: uid, created_at: 1, changed_at: 1 };
    const manifest = {
      ...common,
      media_type: 'text',
      artifact_type: null,
      annotations: null,
      size: 1,
      body: Buffer.of(1),
    };
    const atOnce = 1_000;
    for (let start = 0; start < many; start += atOnce)
      await bench.database.transaction(async (tx) => {
        const some = Array.from({ length: atOnce }, (_, index) => start + index);
        const referrers = some.map((n) => ({ ...manifest, digest: digestOf(`r${n}`), subject_digest: image.digest }));
        const signatures = some.map((n) => ({ ...manifest, digest: digestOf(`s${n}`), subject_digest: null }));
        await tx.insertInto('manifests').values(referrers).execute();
        await tx.insertInto('manifests').values(signatures).execute();
        const tags = some.map((n) => ({
          ...common,
          hybrid_time: 1,
          region: testRegion,
          name: cosignTags(digestOf(`r${n}`))[0] ?? '',
          digest: digestOf(`s${n}`),
        }));
        await tx.insertInto('tags').values(tags).execute();
      });
    const { manifests } = await reports.content(place, me, parseReference(image.digest));
    assert.equal(manifests, 1 + 2 * many);
    // Nobody has counted these rows.
    await bench.database.transaction(async (tx) => {
      await tx.deleteFrom('tags').where('repository_uid', '=', uid).execute();
      await tx.deleteFrom('manifests').where('repository_uid', '=', uid).where('media_type', '=', 'text').execute();
    });
  });

  test('a blob that comes after its manifest counts when it is here', async () => {
    const place = fresh();
    const { manifests } = await bench.another({ isSparseAllowed: true });
    const blob = sampleBlob('late', 3000);
    const image = sampleImage([blob]);
    const start = await used();
    const push = { body: image.bytes, contentType: image.mediaType, reference: parseReference('v1'), tags: [] };
    await manifests.push(place, me, push);
    assert.equal(await used(), start + image.bytes.length);
    await bench.push(place, blob);
    assert.equal(await used(), start + image.bytes.length + 3000);
    await bench.push(place, blob);
    assert.equal(await used(), await recounted());
  });

  test('the push that would pass the limit is refused and leaves nothing, also among many at once', async () => {
    const place = bench.place('limited', bench.otherUid);
    const blobs = Array.from({ length: 10 }, (_unused, index) => sampleBlob(`layer ${index}`, 1000));
    const images = blobs.map((blob) => sampleImage([blob]));
    const size = images[0]?.bytes.length ?? 0;
    for (const blob of blobs) await bench.push(place, blob);
    const limit = 4 * (1000 + size);
    const storageLimits: StorageLimits = { Basic: 1, Standard: 1, Premium: limit };
    const limited = new Manifests({ ...here, graceMs: 0, region: testRegion, isSparseAllowed: false, storageLimits });
    const push = (image: SampleManifest, reference: string = image.digest) =>
      limited.push(place, me, {
        body: image.bytes,
        contentType: image.mediaType,
        reference: parseReference(reference),
        tags: [],
      });
    const results = await Promise.allSettled(images.map((image) => push(image)));
    const done = images.filter((_image, index) => results[index]?.status === 'fulfilled');
    assert.equal(done.length, 4);
    for (const result of results)
      if (result.status === 'rejected') assert.equal(result.reason.error, 'storageLimitReached');
    assert.equal(await used(bench.otherUid), limit);
    const [first] = done;
    const refused = images.find((image) => !done.includes(image));
    assert(first !== undefined && refused !== undefined);
    await push(first, 'again');
    const detail = { addedBytes: 1000 + size, limitBytes: limit };
    await assert.rejects(push(refused), { error: 'storageLimitReached', detail });
    await assert.rejects(limited.find(place, parseReference(refused.digest), me), { error: 'manifestUnknown' });
    await deletions.manifest(place, me, first.digest);
    await push(refused);
  });

  test('the own limit of a registry goes before that of its SKU, and is shown', async () => {
    const place = bench.place('limits/own', bench.otherUid);
    const blob = sampleBlob('own limit', 1000);
    const image = sampleImage([blob]);
    await bench.push(place, blob);
    const storageLimits: StorageLimits = { Basic: 1, Standard: 1, Premium: Number.MAX_SAFE_INTEGER };
    const limited = new Manifests({ ...here, graceMs: 0, region: testRegion, isSparseAllowed: false, storageLimits });
    const shown = async () =>
      (await new UsageReports({ ...here, storageLimits }).registry(bench.otherUid, me)).limitBytes;
    const setLimit = (storageLimitBytes: number | null) =>
      bench.database.transaction((tx) => updateOwnLimits(tx, bench.otherUid, { storageLimitBytes }));
    const push = { body: image.bytes, contentType: image.mediaType, reference: parseReference('v1'), tags: [] };
    const limit = (await used(bench.otherUid)) + 999;
    await setLimit(limit);
    await assert.rejects(limited.push(place, me, push), { error: 'storageLimitReached' });
    assert.equal(await shown(), limit);
    await setLimit(null);
    await limited.push(place, me, push);
    assert.equal(await shown(), Number.MAX_SAFE_INTEGER);
  });

  test('after any sequence of pushes and deletions, also at once, the count equals a recount and every forecast', async () => {
    const seed = process.env.BERTH_TEST_SEED ?? String(Date.now());
    const random = randomOf(seed);
    const places = [fresh(), fresh(), fresh()];
    const blobs = Array.from({ length: 12 }, (_unused, index) =>
      sampleBlob(`${seed} ${index}`, 10 ** (index % 4) + index),
    );
    for (const place of places) for (const blob of blobs) await bench.push(place, blob);
    const pick = <T>(list: readonly T[]): T => {
      const entry = list[random(list.length)];
      if (entry === undefined) throw new RangeError('an empty list');
      return entry;
    };
    const step = async () => {
      const place = pick(places);
      const held = await bench.database.read
        .selectFrom('manifests as m')
        .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
        .where('r.registry_uid', '=', place.registryUid)
        .where('r.name', '=', place.repository)
        .select(['m.digest', 'm.media_type', 'm.size'])
        .execute();
      const choice = random(10);
      if (choice < 5 || held.length === 0) {
        const some = Array.from({ length: 1 + random(4) }, () => pick(blobs));
        await put(place, sampleImage(some, { annotations: { n: String(random(50)) } }), `t${random(4)}`);
      } else if (choice < 6) {
        const { digest, media_type: mediaType, size } = pick(held);
        const subject = { digest, mediaType, size };
        await put(place, sampleImage([pick(blobs)], { subject, annotations: { n: String(random(50)) } }));
      } else if (choice < 9) {
        await deletions.manifest(place, me, parseDigestOf(pick(held).digest));
      } else {
        await deletions.repository(place, me);
      }
    };
    const isExpected = (error: unknown) =>
      error instanceof Error &&
      ['manifestUnknown', 'nameUnknown', 'manifestBlobUnknown'].includes(String(Reflect.get(error, 'error')));
    for (let round = 0; round < 25; round += 1) {
      const results = await Promise.allSettled(Array.from({ length: 4 }, step));
      for (const result of results)
        if (result.status === 'rejected' && !isExpected(result.reason))
          throw new Error(`seed ${seed}`, { cause: result.reason });
      for (const place of places) for (const blob of blobs) await bench.push(place, blob);
      const count = await used();
      assert.equal(count, await recounted(), `seed ${seed}, round ${round}`);
      const expected = await freeableBytes(pick(places));
      if (expected !== undefined) assert.equal(count - (await used()), expected, `seed ${seed}, round ${round}`);
    }
  });

  // Last: the recount above does not know what is kept of deleted content.
  test('what a deleted manifest that can be restored needs is not freed by another deletion', async () => {
    const place = fresh();
    const [shared, own] = [sampleBlob('kept', 3001), sampleBlob('not kept', 401)];
    const keep = (keeps_deleted: number) =>
      bench.database.transaction(async (tx) => {
        await tx.updateTable('registries').set({ keeps_deleted }).where('uid', '=', bench.registryUid).execute();
      });
    const deleted = await pushed(place, [shared]);
    const image = await pushed(place, [shared, own]);
    await keep(1);
    await deletions.manifest(place, me, deleted.digest);
    await keep(0);
    const { heldAloneBytes, sharedBytes } = await reports.content(place, me, parseReference(image.digest));
    assert.deepEqual([heldAloneBytes, sharedBytes], [401 + image.bytes.length, 3001]);
    const before = await used();
    await deletions.manifest(place, me, image.digest);
    assert.equal(before - (await used()), heldAloneBytes);
  });

  test('whoever may not read everything is told nothing of what the rest of the registry holds', async () => {
    const [mine, theirs] = [fresh(), fresh()];
    const guessed = sampleBlob('somebody else has it', 4001);
    const image = await pushed(mine, [guessed]);
    await pushed(theirs, [guessed]);
    const some = { kind: 'some', names: [mine.repository], prefixes: [] } as const;
    const reader = fullAuthority('reader', { visible: () => some });
    const own = { manifests: 1, referencedBytes: 4001 + image.bytes.length };
    assert.deepEqual(await reports.repository(mine, reader), own);
    assert.deepEqual(await reports.content(mine, reader, parseReference(image.digest)), own);
    const stranger = fullAuthority('stranger', { principal: anonymous });
    await assert.rejects(reports.registry(bench.registryUid, reader), { error: 'denied' });
    await assert.rejects(reports.registry(bench.registryUid, stranger), { error: 'unauthorized' });
  });

  /** What a repository says it would free, after which it is deleted; undefined where there is none. */
  const freeableBytes = async (place: Place): Promise<number | undefined> => {
    try {
      const { heldAloneBytes } = await reports.repository(place, me);
      await deletions.repository(place, me);
      return heldAloneBytes;
    } catch {
      // Unknown: nothing was pushed since the last deletion.
      return undefined;
    }
  };
});

const parseDigestOf = (text: string) => {
  const reference = parseReference(text);
  if (reference.kind === 'tag') throw new TypeError('not a digest');
  return reference.digest;
};

/** Whole numbers below a bound, the same for the same seed. */
function randomOf(seed: string): (bound: number) => number {
  let count = 0;
  return (bound) => {
    count += 1;
    return createHash('sha256').update(`${seed} ${count}`).digest().readUInt32BE() % bound;
  };
}
