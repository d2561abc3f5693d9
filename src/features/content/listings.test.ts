import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
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
import type { Visible } from '../access/decision.ts';
import type { Listed, Page } from './paging.ts';
import type { Place } from './place.ts';

const me = fullAuthority();
const config = sampleBlob('config');
const whole: Page = { limit: 1000, last: '' };

/** Every page in turn, as a client walks them. */
async function walk<T>(limit: number, list: (page: Page) => Promise<Listed<T>>): Promise<T[][]> {
  const pages: T[][] = [];
  for (let last: string | undefined = ''; last !== undefined; ) {
    const { entries, next }: Listed<T> = await list({ limit, last });
    pages.push([...entries]);
    last = next;
  }
  return pages;
}

forEachDatabase((_, open) => {
  let bench: ContentBench;
  const put = (place: Place, manifest: SampleManifest, ...tags: string[]) =>
    bench.here.manifests.push(place, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(manifest.digest),
      tags: tags.map(parseTag),
    });
  /** An image in a repository, with tags. */
  const pushed = async (place: Place, more = {}, ...tags: string[]): Promise<SampleManifest> => {
    const image = sampleImage([config], more);
    await bench.push(place, config);
    await put(place, image, ...tags);
    return image;
  };

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  const orderedTags = ['1.10', '1.9', 'A', 'Z', '_x', 'a', 'a-', 'a.', 'a0', 'aA', 'a_', 'aa', 'z'].sort();

  test('tags come in byte order, in pages of any size', async () => {
    const place = bench.place('ordered/tags');
    await pushed(place, {}, ...orderedTags);
    const tags = (page: Page) => bench.here.listings.tags(place, me, page);
    for (const limit of [1, 2, 5, 13, 14, 1000]) {
      const pages = await walk(limit, tags);
      assert.deepEqual(pages.flat(), orderedTags);
      assert.equal(pages.length, Math.ceil(13 / limit), `in pages of ${limit}`);
    }
    assert.deepEqual(await tags({ limit: 0, last: '' }), { entries: [], next: undefined });
    assert.deepEqual((await tags({ limit: 2, last: 'a' })).entries, ['a-', 'a.'], 'after a tag');
    assert.deepEqual((await tags({ limit: 2, last: 'a,' })).entries, ['a-', 'a.'], 'after what is no tag');
    assert.deepEqual((await tags({ limit: 2, last: 'zz' })).entries, []);
  });

  test('a repository with untagged manifests has no tags; one without manifests is unknown', async () => {
    const place = bench.place('untagged');
    await bench.push(place, config);
    await assert.rejects(bench.here.listings.tags(place, me, whole), { error: 'nameUnknown' });
    const { digest } = await pushed(place);
    assert.deepEqual(await bench.here.listings.tags(place, me, whole), { entries: [], next: undefined });
    await bench.here.manifests.remove(place, me, { kind: 'digest', digest });
    await assert.rejects(bench.here.listings.tags(place, me, whole), { error: 'nameUnknown' });
    for (const at of [bench.place('never'), { ...place, registryUid: bench.otherUid }]) {
      await assert.rejects(bench.here.listings.tags(at, me, whole), { error: 'nameUnknown' });
    }
  });

  const seen: readonly [what: string, visible: Visible, names: readonly string[]][] = [
    ['all', { kind: 'all' }, ['a', 'a-b', 'a/b', 'a/b/c', 'ab', 'b', 'ordered/tags']],
    ['nothing', { kind: 'none' }, []],
    ['some names', { kind: 'some', names: ['b', 'a/b', 'gone'], prefixes: [] }, ['a/b', 'b']],
    ['a prefix', { kind: 'some', names: [], prefixes: ['a/'] }, ['a/b', 'a/b/c']],
    [
      'a prefix that is a name too',
      { kind: 'some', names: ['a'], prefixes: ['a'] },
      ['a', 'a-b', 'a/b', 'a/b/c', 'ab'],
    ],
    [
      'names and prefixes that overlap',
      { kind: 'some', names: ['a/b', 'b'], prefixes: ['a/', 'a/b'] },
      ['a/b', 'a/b/c', 'b'],
    ],
    [
      'what a condition leaves',
      { kind: 'some', names: [], prefixes: [''], matches: (name) => !name.startsWith('a') },
      ['b', 'ordered/tags'],
    ],
    ['no name and no prefix', { kind: 'some', names: [], prefixes: [] }, []],
  ];

  test('the catalog shows what the caller may see, in byte order and in pages', async () => {
    for (const name of ['b', 'ab', 'a/b', 'a', 'a-b', 'a/b/c']) await pushed(bench.place(name));
    await bench.push(bench.place('only/blobs'), config);
    await pushed(bench.place('elsewhere', bench.otherUid));
    for (const [what, visible, names] of seen) {
      const authority = fullAuthority('somebody', { visible: () => visible });
      for (const limit of [1, 3, 1000]) {
        const pages = await walk(limit, (page) => bench.here.listings.catalog(bench.registryUid, authority, page));
        assert.deepEqual(pages.flat(), names, `${what}, in pages of ${limit}`);
      }
    }
    const { entries } = await bench.here.listings.catalog(bench.otherUid, me, whole);
    assert.deepEqual(entries, ['elsewhere']);
    await assert.rejects(bench.here.listings.catalog('x', me, whole), { error: 'registryUnknown' });
  });

  test('referrers of a subject come by digest, filtered and in pages', async () => {
    const place = bench.place('referrers');
    const image = await pushed(place);
    const subject = descriptorOf(image, image.mediaType);
    const plain = await pushed(place, { subject });
    const signature = await pushed(place, { subject, artifactType: 'a/sig', annotations: { by: 'me' } });
    const more = await pushed(place, { subject, artifactType: 'a/sig', annotations: { by: 'you' } });
    const index = sampleIndex([image], { subject, artifactType: 'a/index' });
    const bare = sampleIndex([image], { subject });
    await put(place, index);
    await put(place, bare);
    await pushed(bench.place('other/referrers'), { subject });
    const list = (page: Page, artifactType?: string) =>
      bench.here.listings.referrers(place, me, { subject: image.digest, artifactType, page });
    const entry = ({ digest, bytes, mediaType }: SampleManifest, shown = {}) => ({
      mediaType,
      digest,
      size: bytes.length,
      ...shown,
    });
    const expected = [
      entry(plain, { artifactType: configType }),
      entry(signature, { artifactType: 'a/sig', annotations: { by: 'me' } }),
      entry(more, { artifactType: 'a/sig', annotations: { by: 'you' } }),
      entry(index, { artifactType: 'a/index' }),
      entry(bare),
    ].sort((a, b) => (a.digest < b.digest ? -1 : 1));
    for (const limit of [1, 2, 5, 1000]) assert.deepEqual((await walk(limit, list)).flat(), expected);
    assert.equal((await walk(2, list)).length, 3);
    assert.deepEqual(await list({ limit: 0, last: '' }), { entries: [], next: undefined });
    const digests = async (type: string) =>
      (await walk(1, (page) => list(page, type))).flat().map(({ digest }) => digest);
    assert.deepEqual(await digests('a/sig'), [signature.digest, more.digest].sort());
    assert.deepEqual(await digests(configType), [plain.digest]);
    assert.deepEqual(await digests('a/si'), []);
    assert.deepEqual(await digests("' or 1=1 --"), []);
  });

  test('an unknown subject, repository or sha512 digest has no referrers', async () => {
    const empty = { entries: [], next: undefined };
    const { digest: subject } = sampleBlob('no subject');
    for (const at of [bench.place('referrers'), bench.place('never')]) {
      const query = { subject, artifactType: undefined, page: whole };
      assert.deepEqual(await bench.here.listings.referrers(at, me, query), empty);
    }
  });

  test('a removed referrer is listed no more, one pushed before its subject is', async () => {
    const place = bench.place('early');
    const image = sampleImage([config], { annotations: { late: 'yes' } });
    const subject = descriptorOf(image, mediaTypes.ociManifest);
    const query = { subject: image.digest, artifactType: undefined, page: whole };
    const referrer = await pushed(place, { subject });
    await put(place, image);
    assert.equal((await bench.here.listings.referrers(place, me, query)).entries.length, 1);
    await bench.here.manifests.remove(place, me, { kind: 'digest', digest: referrer.digest });
    assert.equal((await bench.here.listings.referrers(place, me, query)).entries.length, 0);
  });

  test('a page of referrers with much to say is cut by its bytes, and none is left out', async () => {
    const place = bench.place('talkative');
    const image = await pushed(place);
    const subject = descriptorOf(image, image.mediaType);
    const digests: string[] = [];
    for (let index = 0; index < 6; index += 1) {
      const annotations = { index: String(index), text: 'ä'.repeat(index === 3 ? 1_500_000 : 400_000) };
      digests.push((await pushed(place, { subject, annotations })).digest);
    }
    const pages = await walk(1000, (page) =>
      bench.here.listings.referrers(place, me, { subject: image.digest, artifactType: undefined, page }),
    );
    assert.deepEqual(
      pages.flat().map(({ digest }) => digest),
      digests.sort(),
    );
    for (const page of pages) {
      const bytes = Buffer.byteLength(JSON.stringify(page));
      assert(page.length === 1 || bytes < 2.1 * 1024 * 1024, `${page.length} entries of ${bytes} bytes`);
    }
    assert(pages.length < 6);
  });

  test('lists are confirmed at the epoch they were read at', async () => {
    const place = bench.place('ordered/tags');
    const epochs: number[] = [];
    const authority = fullAuthority('somebody', {
      confirm: async (epoch) => {
        epochs.push(epoch);
      },
    });
    await bench.raiseEpoch();
    await bench.here.listings.tags(place, authority, whole);
    await bench.here.listings.catalog(bench.registryUid, authority, whole);
    await bench.here.listings.referrers(place, authority, {
      subject: config.digest,
      artifactType: undefined,
      page: whole,
    });
    assert.deepEqual(epochs, [2, 2, 2]);
  });
});
