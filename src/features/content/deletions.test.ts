import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import type { Digest } from '../../core/digest.ts';
import { parseReference } from '../../core/reference.ts';
import { systemClock } from '../../platform/system-clock.ts';
import type { AuthorizedChange } from './authorized-change.ts';
import { Deletions } from './deletions.ts';
import { Manifests } from './manifests.ts';
import type { Place } from './place.ts';

const me = fullAuthority();
const perRepository = 40;
const layerCount = 6;
/** Deletions go together as long as they are few. */
const unhurried = { ...systemClock, monotonicMs: () => 0 };

forEachDatabase((_, open) => {
  let bench: ContentBench;

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  const usage = async () => {
    const row = await bench.database.read.selectFrom('registry_usage').select('bytes').executeTakeFirst();
    return row?.bytes ?? 0;
  };
  const push = async (
    manifests: Manifests,
    at: Place,
    { bytes, mediaType, digest }: SampleManifest,
  ): Promise<Digest> => {
    const push = { body: bytes, contentType: mediaType, reference: parseReference(digest), tags: [] };
    await manifests.push(at, me, push);
    return digest;
  };

  test('each of several that go together says what it freed, as if it went alone', async () => {
    const at = bench.place('counted');
    const [config, shared, ...own] = ['config', 'shared', 'own 0', 'own 1', 'own 2'].map((text) => sampleBlob(text));
    assert(config !== undefined && shared !== undefined);
    for (const blob of [config, shared, ...own]) await bench.push(at, blob);
    const images = own.map((blob, index) => sampleImage(index === 2 ? [config, blob] : [config, shared, blob]));
    for (const image of images) await push(bench.here.manifests, at, image);
    const before = await usage();
    const deletions = new Deletions({ ...bench.here, clock: unhurried, region: testRegion });
    const settled = await deletions.untaggedManifests(
      at,
      me,
      images.map(({ digest }) => ({ digest })),
    );
    const sizes = images.map((image, index) => image.bytes.length + (own[index]?.bytes.length ?? 0));
    const [first = 0, second = 0, third = 0] = sizes;
    assert.deepEqual(
      settled.map((each) => each.kind === 'done' && each.result.freedBytes),
      [first, second + shared.bytes.length, third + config.bytes.length],
    );
    assert.equal(
      before - (await usage()),
      [first, second, third, shared.bytes.length, config.bytes.length].reduce((a, b) => a + b),
    );
  });

  test('a deleted repository hides its blobs in slices, but for those that came later', async () => {
    const at = bench.place('linked');
    const blob = sampleBlob('linked');
    await bench.push(at, blob);
    await push(bench.here.manifests, at, sampleImage([blob]));
    const { uid } = await bench.database.read
      .selectFrom('repositories')
      .where('name', '=', at.repository)
      .select('uid')
      .executeTakeFirstOrThrow();
    const links = () => bench.database.read.selectFrom('blob_links').where('repository_uid', '=', uid).select('digest');
    const [later, ...earlier] = Array.from({ length: 2_501 }, (_, n) => sampleBlob(`link ${n}`).digest);
    assert(later !== undefined);
    await bench.database.transaction(async (tx) => {
      for (let start = 0; start < earlier.length; start += 500) {
        const some = earlier.slice(start, start + 500).map((digest) => ({ digest, created_at: 0 }));
        await tx
          .insertInto('blob_links')
          .values(some.map((link) => ({ ...link, repository_uid: uid })))
          .execute();
      }
      const created_at = bench.here.clock.nowMicros() + 1_000_000;
      await tx.insertInto('blob_links').values({ repository_uid: uid, digest: later, created_at }).execute();
    });
    let changes = 0;
    const change: AuthorizedChange = async (...given) => {
      changes += 1;
      return await bench.here.change(...given);
    };
    await new Deletions({ ...bench.here, change, region: testRegion }).repository(at, me);
    assert.deepEqual(await links().execute(), [{ digest: later }]);
    // The look at the locks, tags, manifests twice, and links by the thousand.
    assert.equal(changes, 1 + 1 + 2 + 3);
  });

  test('deletions that go together wait for others and for pushes, but never in a circle', async () => {
    const layers = Array.from({ length: layerCount }, (_, index) => sampleBlob(`layer ${index}`));
    const repositories = ['purged/one', 'purged/other', 'pushed'].map((name) => bench.place(name));
    for (const at of repositories) for (const layer of layers) await bench.push(at, layer);
    let runs = 0;
    let changes = 0;
    const change: AuthorizedChange = async (place, authority, work, options) => {
      changes += 1;
      return await bench.here.change(
        place,
        authority,
        async (context) => {
          runs += 1;
          return await work(context);
        },
        options,
      );
    };
    const parts = { ...bench.here, clock: unhurried, change, region: testRegion };
    const manifests = new Manifests({ ...parts, graceMs: 0, isSparseAllowed: false });
    const imageOf = (n: string, index: number) =>
      sampleImage([...layers.slice(index % layerCount), ...layers].slice(0, 2), {
        annotations: { n: `${n} ${index}` },
      });
    const [one, other, pushed] = repositories;
    assert(one !== undefined && other !== undefined && pushed !== undefined);
    const fill = async (at: Place, order: (index: number) => number) => {
      const digests: Digest[] = [];
      for (let index = 0; index < perRepository; index += 1)
        digests.push(await push(manifests, at, imageOf(at.repository, order(index))));
      return digests;
    };
    const [ofOne, ofOther] = [await fill(one, (index) => index), await fill(other, (index) => perRepository - index)];
    const deletions = new Deletions(parts);
    let isOver = false;
    const purge = async (at: Place, digests: readonly Digest[]) => {
      for (let start = 0; start < digests.length; ) {
        const wanted = digests.slice(start, start + 10).map((digest) => ({ digest }));
        start += (await deletions.untaggedManifests(at, me, wanted)).length;
      }
    };
    const pushAll = async (who: string) => {
      for (let index = 0; !isOver; index += 1) await push(manifests, pushed, imageOf(who, index));
    };
    const purges = Promise.all([purge(one, ofOne), purge(other, ofOther)]).finally(() => {
      isOver = true;
    });
    await Promise.all([purges, pushAll('a'), pushAll('b')]);
    assert.equal(runs - changes, 0, 'transactions that ran again');
  });
});
