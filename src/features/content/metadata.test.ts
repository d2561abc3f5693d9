import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from 'kysely';
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
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { mediaTypes } from '../../core/media-types.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { AttributeChanges } from './attribute-changes.ts';
import { attributesOf } from './attributes.ts';
import { Metadata, type OrderedPage } from './metadata.ts';
import type { Listed } from './paging.ts';
import type { Place } from './place.ts';

const me = fullAuthority('me');
const open = attributesOf(0);
const whole: OrderedPage = { limit: 1000, order: 'name', last: undefined };

/** Every page in turn, as the links lead on. */
async function walk<T>(
  page: Pick<OrderedPage, 'limit' | 'order'>,
  list: (page: OrderedPage) => Promise<Listed<T>>,
): Promise<T[][]> {
  const pages: T[][] = [];
  for (let last: OrderedPage['last'] | 'end'; last !== 'end'; ) {
    const { entries, next }: Listed<T> = await list({ ...page, last });
    pages.push([...entries]);
    const [name = '', time] = next?.split(',') ?? [];
    last = next === undefined ? 'end' : { name, changedAt: time === undefined ? undefined : Number(time) };
  }
  return pages;
}

forEachDatabase((_, openDatabase) => {
  const clock = new HeldClock();
  let bench: ContentBench;
  let here: ContentProcess;
  let metadata: Metadata;
  let attributes: AttributeChanges;
  let count = 0;
  const fresh = () => {
    count += 1;
    return bench.place(`team/app${count}`);
  };
  const put = async (place: Place, manifest: SampleManifest, reference: string = manifest.digest) => {
    clock.advance(1000);
    await here.manifests.push(place, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(reference),
      tags: [],
    });
    return clock.nowMicros();
  };
  const pushed = async (place: Place, config: string, more = {}) => {
    const blobs = [sampleBlob(config), sampleBlob('layer', 5000)];
    for (const blob of blobs) await bench.push(place, blob);
    const image = sampleImage(blobs, more);
    const at = await put(place, image);
    return { image, at, size: 5000 + Buffer.byteLength(config) };
  };

  before(async () => {
    bench = await contentBench(openDatabase, { clock });
    here = bench.here;
    metadata = new Metadata(here);
    attributes = new AttributeChanges({ ...here, region: testRegion });
  });
  after(() => bench.folder.remove());

  test('a repository tells its counts, its times and its attributes', async () => {
    const place = fresh();
    await assert.rejects(metadata.repository(place, me), { error: 'nameUnknown' });
    await bench.push(place, sampleBlob('alone'));
    await assert.rejects(metadata.repository(place, me), { error: 'nameUnknown' });
    const { image, at } = await pushed(place, '{}');
    const tagged = await put(place, image, 'v1');
    assert.deepEqual(await metadata.repository(place, me), {
      createdAt: (await metadata.repository(place, me)).createdAt,
      changedAt: tagged,
      manifestCount: 1,
      tagCount: 1,
      attributes: open,
      immutableTags: [],
    });
    assert((await metadata.repository(place, me)).createdAt <= at);
    clock.advance(1000);
    await attributes.repository(place, me, { writeEnabled: false });
    const { attributes: set, changedAt } = await metadata.repository(place, me);
    assert.deepEqual([set, changedAt], [{ ...open, writeEnabled: false }, tagged], 'a lock is no change of content');
  });

  test('an image tells its size, platform and configuration; facts are read once', async () => {
    const place = fresh();
    const { image, at, size } = await pushed(place, '{"architecture":"arm64","os":"linux","variant":"v8"}');
    await put(place, image, 'v1');
    const expected = {
      digest: image.digest,
      mediaType: image.mediaType,
      createdAt: at,
      changedAt: at,
      imageSize: size,
      configMediaType: configType,
      architecture: 'arm64',
      os: 'linux',
      pulledAt: undefined,
      attributes: open,
      quarantine: { state: 'Passed', details: undefined },
      tags: ['v1'],
    };
    assert.deepEqual(await metadata.manifest(place, me, image.digest), expected);
    const rows = await bench.database.read
      .selectFrom('manifest_facts')
      .where('digest', '=', image.digest)
      .selectAll()
      .execute();
    assert.equal(rows.length, 1);
    assert.deepEqual((await metadata.manifests(place, me, { page: whole })).entries, [expected]);
    await assert.rejects(metadata.manifest(place, me, sampleBlob().digest), { error: 'manifestUnknown' });
  });

  const configurations: readonly [what: string, config: string, shown: object][] = [
    ['without a platform', '{}', {}],
    ['that is no JSON', 'not json', {}],
    ['that is a list', '[1]', {}],
    ['with a platform of the wrong type', '{"architecture":7,"os":["linux"]}', {}],
    ['with a platform that is too long', `{"architecture":"${'x'.repeat(101)}","os":"linux"}`, { os: 'linux' }],
    ['nested too deep', `${'['.repeat(100_000)}`, {}],
    ['larger than any', `{"os":"linux","x":"${'x'.repeat(1024 * 1024)}"}`, {}],
  ];
  for (const [what, config, shown] of configurations)
    test(`a configuration ${what} is taken as it is`, async () => {
      const place = fresh();
      const { image } = await pushed(place, config);
      const { architecture, os } = await metadata.manifest(place, me, image.digest);
      assert.deepEqual({ ...(architecture && { architecture }), ...(os && { os }) }, shown);
    });

  test('an index tells the sum of its manifests and their platforms; an artifact has none', async () => {
    const place = fresh();
    const { image } = await pushed(place, '{"architecture":"amd64","os":"windows"}');
    const { image: bare } = await pushed(place, '{"architecture":"amd64","os":"linux"}', {
      config: descriptorOf(sampleBlob('{"architecture":"amd64","os":"linux"}'), 'application/x'),
    });
    const platform = { architecture: 'amd64', os: 'windows' };
    const index = sampleIndex([image, bare], {
      manifests: [{ ...descriptorOf(image, image.mediaType), platform }, descriptorOf(bare, bare.mediaType)],
    });
    await put(place, index);
    const found = await metadata.manifest(place, me, index.digest);
    assert.deepEqual(
      [found.mediaType, found.imageSize, found.references, found.configMediaType, found.tags],
      [
        mediaTypes.ociIndex,
        image.bytes.length + bare.bytes.length,
        [{ digest: image.digest, ...platform }, { digest: bare.digest }],
        undefined,
        [],
      ],
    );
    const artifact = await metadata.manifest(place, me, bare.digest);
    assert.deepEqual(
      [artifact.configMediaType, artifact.architecture, artifact.os],
      ['application/x', undefined, undefined],
    );
  });

  test('a configuration that is not here yet is read when it is', async () => {
    const place = fresh();
    const { manifests } = await bench.another({ isSparseAllowed: true });
    const config = sampleBlob('{"architecture":"s390x","os":"linux"}');
    const image = sampleImage([config]);
    const push = { body: image.bytes, contentType: image.mediaType, reference: parseReference('v1'), tags: [] };
    await manifests.push(place, me, push);
    assert.equal((await metadata.manifest(place, me, image.digest)).architecture, undefined);
    await bench.push(place, config);
    assert.equal((await metadata.manifest(place, me, image.digest)).architecture, 's390x');
  });

  test('tags come by name and by time both ways, in pages of any size, and those of one manifest', async () => {
    const place = fresh();
    const [one, two] = [(await pushed(place, '{"n":1}')).image, (await pushed(place, '{"n":2}')).image];
    for (const tag of ['c', 'a', 'e']) await put(place, one, tag);
    for (const tag of ['b', 'd', 'a']) await put(place, two, tag);
    const orders = { name: ['a', 'b', 'c', 'd', 'e'], oldestFirst: ['c', 'e', 'b', 'd', 'a'] };
    const list = (digest?: SampleManifest['digest']) => (page: OrderedPage) =>
      metadata.tags(place, me, { page, digest });
    for (const [order, expected] of Object.entries({ ...orders, newestFirst: orders.oldestFirst.toReversed() }))
      for (const limit of [1, 2, 5, 1000]) {
        const isOrder = order === 'name' || order === 'oldestFirst' || order === 'newestFirst';
        assert(isOrder);
        const pages = await walk({ limit, order }, list());
        assert.deepEqual(
          pages.flat().map(({ name }) => name),
          expected,
          `${order}, in pages of ${limit}`,
        );
        assert.equal(pages.length, Math.ceil(5 / limit));
      }
    const ofTwo = await walk({ limit: 2, order: 'newestFirst' }, list(two.digest));
    assert.deepEqual(
      ofTwo.flat().map(({ name }) => name),
      ['a', 'd', 'b'],
    );
    const [a] = (await list()(whole)).entries;
    assert.deepEqual([a?.name, a?.digest, a !== undefined && a.createdAt < a.changedAt], ['a', two.digest, true]);
    const nothing = await list()({ ...whole, limit: 0 });
    assert.deepEqual(nothing, { entries: [], next: undefined });
  });

  test('tags written in the same moment are paged by time without loss', async () => {
    const place = fresh();
    const { image } = await pushed(place, '{}');
    const tags = Array.from({ length: 25 }, (_unused, index) => `t${String(index).padStart(2, '0')}`);
    await here.manifests.push(place, me, {
      body: image.bytes,
      contentType: image.mediaType,
      reference: parseReference(image.digest),
      tags: tags.map(parseTag),
    });
    const list = (page: OrderedPage) => metadata.tags(place, me, { page, digest: undefined });
    for (const [order, expected] of [
      ['oldestFirst', tags],
      ['newestFirst', tags.toReversed()],
    ] as const)
      assert.deepEqual(
        (await walk({ limit: 4, order }, list)).flat().map(({ name }) => name),
        expected,
      );
  });

  test('paging by time goes on where it was though its last tag has moved or gone; a name alone is looked up', async () => {
    const place = fresh();
    const { image } = await pushed(place, '{}');
    for (const tag of ['a', 'b', 'c']) await put(place, image, tag);
    const list = (last: OrderedPage['last']) =>
      metadata.tags(place, me, { page: { limit: 1, order: 'newestFirst', last }, digest: undefined });
    const { next } = await list(undefined);
    const [name = '', time] = next?.split(',') ?? [];
    await put(place, image, 'c');
    for (const last of [
      { name, changedAt: Number(time) },
      { name: 'gone', changedAt: Number(time) },
    ])
      assert.equal((await list(last)).entries[0]?.name, 'b');
    assert.equal((await list({ name: 'b', changedAt: undefined })).entries[0]?.name, 'a');
    await assert.rejects(list({ name: 'gone', changedAt: undefined }), { error: 'pageLastUnknown' });
  });

  test('what lists do not show is still shown when asked for by name', async () => {
    const place = fresh();
    const [one, two] = [(await pushed(place, '{"n":1}')).image, (await pushed(place, '{"n":2}')).image];
    for (const tag of ['a', 'b']) await put(place, one, tag);
    const hidden = { listEnabled: false };
    await attributes.tag(place, me, parseTag('b'), hidden);
    await attributes.manifest(place, me, two.digest, hidden);
    const tags = await metadata.tags(place, me, { page: whole, digest: undefined });
    assert.deepEqual(
      tags.entries.map(({ name }) => name),
      ['a'],
    );
    const plain = await here.listings.tags(place, me, { limit: 10, last: '' });
    assert.deepEqual(plain.entries, ['a']);
    const { entries } = await metadata.manifests(place, me, { page: whole });
    assert.deepEqual(
      entries.map(({ digest, tags }) => [digest, tags]),
      [[one.digest, ['a']]],
    );
    assert.deepEqual((await metadata.tag(place, me, parseTag('b'))).attributes, { ...open, listEnabled: false });
    assert.deepEqual((await metadata.manifest(place, me, two.digest)).attributes, { ...open, listEnabled: false });
    assert.deepEqual((await metadata.manifest(place, me, one.digest)).tags, ['a', 'b']);
    await attributes.tag(place, me, parseTag('a'), hidden);
    const [onlyHidden] = (await metadata.manifests(place, me, { page: whole })).entries;
    assert.deepEqual(onlyHidden?.tags, ['a', 'b'], 'it has tags, whoever looks for what has none');
    await attributes.repository(place, me, hidden);
    const catalog = await here.listings.catalog(bench.registryUid, me, { limit: 1000, last: '' });
    assert(!catalog.entries.includes(place.repository));
    await metadata.repository(place, me);
  });

  test('manifests come by digest and by time, in pages that are cut where they grow too large', async () => {
    const place = fresh();
    const images: SampleManifest[] = [];
    for (let n = 0; n < 6; n += 1)
      images.push(
        (await pushed(place, `{"n":${n}}`, { annotations: { text: 'x'.repeat(n === 3 ? 3_000_000 : 900_000) } })).image,
      );
    const list = (page: OrderedPage) => metadata.manifests(place, me, { page });
    const pages = await walk({ limit: 1000, order: 'oldestFirst' }, list);
    assert.deepEqual(
      pages.flat().map(({ digest }) => digest),
      images.map(({ digest }) => digest),
    );
    assert(pages.length > 1);
    const byDigest = await walk({ limit: 4, order: 'name' }, list);
    assert.deepEqual(
      byDigest.flat().map(({ digest }) => digest),
      images.map(({ digest }) => digest).sort(),
    );
    await assert.rejects(metadata.manifests(fresh(), me, { page: whole }), { error: 'nameUnknown' });
  });

  test('metadata is confirmed at the epoch it was read at', async () => {
    const place = fresh();
    const { image } = await pushed(place, '{}');
    await put(place, image, 'v1');
    let confirmed = 0;
    const authority = fullAuthority('somebody', {
      confirm: async () => {
        confirmed += 1;
      },
    });
    await metadata.repository(place, authority);
    await metadata.tag(place, authority, parseTag('v1'));
    await metadata.tags(place, authority, { page: whole, digest: undefined });
    await metadata.manifest(place, authority, image.digest);
    await metadata.manifests(place, authority, { page: whole });
    assert.equal(confirmed, 5);
  });

  test('of 100,000 tags a page of 100 by name or by time takes a few milliseconds', async () => {
    const place = fresh();
    const { image } = await pushed(place, '{"many":"tags"}');
    await put(place, image, 'v1');
    const [row] = await bench.database.read
      .selectFrom('tags')
      .where('name', '=', 'v1')
      .where('digest', '=', image.digest)
      .selectAll()
      .execute();
    assert(row !== undefined);
    for (let start = 0; start < 100_000; start += 2000)
      await bench.database.transaction(async (tx) => {
        const rows = Array.from({ length: 2000 }, (_unused, index) => {
          const n = start + index;
          // Another order by time than by name.
          const time = row.changed_at + ((n * 7919) % 100_000);
          return { ...row, name: `t${String(n).padStart(6, '0')}`, changed_at: time };
        });
        await tx.insertInto('tags').values(rows).execute();
      });
    // As PostgreSQL does by itself a minute after so many changes.
    await bench.database.transaction(async (tx) => await sql`analyze tags`.execute(tx));
    for (const order of ['name', 'oldestFirst', 'newestFirst'] as const) {
      const times: number[] = [];
      let last: OrderedPage['last'];
      for (let page = 0; page < 100; page += 1) {
        const begun = performance.now();
        const { entries } = await metadata.tags(place, me, { page: { limit: 100, order, last }, digest: undefined });
        times.push(performance.now() - begun);
        const final = entries.at(-1);
        assert(entries.length === 100 && final !== undefined);
        last = final;
      }
      const [median = Number.NaN, slow = Number.NaN] = times
        .sort((a, b) => a - b)
        .filter((_time, at) => at === 50 || at === 98);
      // The machine may be busy with other tests: what it does at its usual pace is held to the limit.
      assert(median < 10, `${order}: ${median.toFixed(1)} ms`);
      console.log(`page of 100 of 100,000 tags, ${order}: median ${median.toFixed(2)} ms, p99 ${slow.toFixed(2)} ms`);
    }
  });
});
