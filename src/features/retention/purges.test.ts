import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  descriptorOf,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { racingClock } from '../../../test/support/racing-clock.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { parsePurgeFilter } from './purge-filter.ts';
import { type PurgeRequest, purge } from './purges.ts';
import type { PurgeItem } from './take-selection.ts';

const me = fullAuthority();
const dayMs = 86_400_000;

forEachDatabase((kind, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  const rounds = kind === 'sqlite' ? 60 : 20;
  const parts = () => ({
    ...bench.here,
    deletions: new Deletions({ ...bench.here, region: testRegion }),
  });
  const request = (more: Partial<PurgeRequest> = {}): PurgeRequest => ({
    registryUid: bench.registryUid,
    filters: [],
    ageMs: 30 * dayMs,
    keep: 0,
    untagged: 'also',
    includesLocked: false,
    isDryRun: false,
    signal: new AbortController().signal,
    ...more,
  });
  const run = async (more: Partial<PurgeRequest>) => await Array.fromAsync(purge(parts(), me, request(more)));
  const named = (items: readonly PurgeItem[]) => items.map((item) => `${item.repository} ${item.tag ?? item.digest}`);
  const config = sampleBlob('config');
  const push = async (at: Place, manifest: SampleManifest, ...tags: string[]) => {
    await bench.push(at, config);
    const common = { body: manifest.bytes, contentType: manifest.mediaType };
    await bench.here.manifests.push(at, me, {
      ...common,
      reference: parseReference(manifest.digest),
      tags: tags.map(parseTag),
    });
  };
  const digestsIn = async (at: Place) => {
    const rows = await bench.database.read
      .selectFrom('manifests as m')
      .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
      .where('r.name', '=', at.repository)
      .select('m.digest')
      .execute();
    return new Set<string>(rows.map((row) => row.digest));
  };

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
  });
  after(() => bench.folder.remove());

  test('a dry run lists what a run deletes, each with the rule that decided, and deletes nothing', async () => {
    const at = bench.place('shop/api');
    const [old, young] = [sampleImage([config], { annotations: { n: 'old' } }), sampleImage([config])];
    await push(at, old, 'v1', 'v2');
    clock.advance(40 * dayMs);
    await push(at, young, 'v3');
    const filters = [parsePurgeFilter('shop/.*:^v')];
    const preview = await run({ filters, isDryRun: true });
    assert.deepEqual(named(preview).toSorted(), ['shop/api v1', 'shop/api v2', `shop/api ${old.digest}`].toSorted());
    assert.deepEqual(new Set(preview.map((item) => item.outcome)), new Set(['wouldDelete']));
    assert.equal((await digestsIn(at)).size, 2);
    const done = await run({ filters });
    assert.deepEqual(named(done), named(preview));
    assert(done.every((item) => item.outcome === 'deleted' && item.reason !== ''));
    assert.deepEqual(await digestsIn(at), new Set([young.digest]));
    assert.deepEqual(await run({ filters }), []);
  });

  test('what left is told also where the rest of what belongs to it cannot leave now', async () => {
    const at = bench.place('hindered');
    const image = sampleImage([config], { annotations: { n: 'hindered' } });
    await push(at, image);
    const subject = descriptorOf(image, image.mediaType);
    for (let n = 0; n < 60; n += 1)
      await push(at, sampleImage([config], { subject, annotations: { n: `hindered ${n}` } }));
    clock.advance(40 * dayMs);
    const before = await digestsIn(at);
    let changes = 0;
    const change: AuthorizedChange = async (place, authority, work, options) => {
      changes += 1;
      if (changes === 2) throw new BerthError('busy');
      return await bench.here.change(place, authority, work, options);
    };
    const deletions = new Deletions({ ...bench.here, change, region: testRegion });
    const items: PurgeItem[] = [];
    const hindered = async () => {
      const asked = request({ filters: [parsePurgeFilter('hindered:.*')], untagged: 'also' });
      for await (const item of purge({ ...parts(), deletions }, me, asked)) items.push(item);
    };
    await assert.rejects(hindered, { error: 'busy' });
    const left = await digestsIn(at);
    assert(left.size > 0 && left.size < before.size);
    assert.deepEqual(new Set(items.map(({ outcome }) => outcome)), new Set(['deleted']));
    assert.deepEqual(new Set(items.map(({ digest }) => digest)), before.difference(left));
  });

  test('DL-18: a dry run writes nothing at all', async () => {
    const at = bench.place('dry');
    await push(at, sampleImage([config], { annotations: { n: 'dry' } }), 'v1');
    clock.advance(40 * dayMs);
    const transaction = () => assert.fail('a dry run has begun to write');
    const database = { ...bench.database, transaction };
    const asked = request({ filters: [parsePurgeFilter('dry:.*')], isDryRun: true });
    const items = await Array.fromAsync(purge({ ...parts(), database }, me, asked));
    assert.equal(items.length, 2);
  });

  test('locked content stays, and leaves when that is asked for', async () => {
    const at = bench.place('locked');
    const image = sampleImage([config], { annotations: { n: 'locked' } });
    await push(at, image, 'keep');
    const attributes = new AttributeChanges({ ...bench.here, region: testRegion });
    await attributes.tag(at, me, parseTag('keep'), { deleteEnabled: false });
    clock.advance(40 * dayMs);
    const filters = [parsePurgeFilter('locked:.*')];
    assert.deepEqual(await run({ filters }), []);
    await attributes.repository(at, me, { writeEnabled: false });
    const [refused] = await run({ filters, includesLocked: true });
    assert.equal(refused?.outcome, 'skipped');
    assert.deepEqual(await run({ filters }), [], 'the lock is still there');
    await attributes.repository(at, me, { writeEnabled: true });
    assert.deepEqual(named(await run({ filters, includesLocked: true })), ['locked keep', `locked ${image.digest}`]);
    assert.equal((await digestsIn(at)).size, 0);
  });

  test('what changes between the look and the deletion stays', async () => {
    const at = bench.place('moving');
    const images = ['a', 'b', 'c'].map((n) => sampleImage([config], { annotations: { n } }));
    const [first, second, third] = images;
    assert(first && second && third);
    await push(at, first, 't1');
    await push(at, second, 't2');
    await push(at, third);
    clock.advance(40 * dayMs);
    const outcomes = new Map<string, string>();
    const deletions = new Deletions({ ...bench.here, clock: racingClock(clock), region: testRegion });
    const filters = [parsePurgeFilter('moving:.*')];
    for await (const item of purge({ ...parts(), deletions }, me, request({ filters }))) {
      outcomes.set(item.tag ?? item.digest, item.outcome);
      if (outcomes.size > 1) continue;
      // After the first item: the other tag moves, and the manifest without one gets one.
      const other = item.tag === 't1' ? 't2' : 't1';
      await push(at, third, other, 'rescued');
    }
    assert.equal([...outcomes.values()].filter((outcome) => outcome === 'changed').length, 2);
    assert((await digestsIn(at)).has(third.digest));
    const tag = parseReference('rescued');
    assert.equal((await bench.here.manifests.find(at, tag, me)).digest, third.digest);
  });

  test('parts of a push that is under way stay, however soon a purge may take others', async () => {
    const at = bench.place('under-way');
    const child = sampleImage([config], { annotations: { n: 'under way' } });
    await push(at, child);
    clock.advance(1_800_000);
    assert.deepEqual(await run({ untagged: 'only', ageMs: 0 }), []);
    clock.advance(dayMs);
    await push(at, child);
    clock.advance(1_800_000);
    assert.deepEqual(await run({ untagged: 'only', ageMs: 0 }), []);
    clock.advance(3_600_000);
    assert.deepEqual(named(await run({ untagged: 'only', ageMs: 0 })), [`under-way ${child.digest}`]);
  });

  test('a signature goes with its image whatever its age, and the preview says so', async () => {
    const at = bench.place('signed');
    const image = sampleImage([config], { annotations: { n: 'signed' } });
    await push(at, image);
    clock.advance(40 * dayMs);
    const signature = sampleImage([config], { subject: descriptorOf(image, image.mediaType) });
    await push(at, signature);
    const more = { untagged: 'only', filters: [parsePurgeFilter('signed:.*')] } as const;
    const preview = await run({ ...more, isDryRun: true });
    assert.deepEqual(named(preview), [`signed ${image.digest}`, `signed ${signature.digest}`]);
    const done = await run(more);
    assert.deepEqual(named(done), named(preview));
    assert(done.every((item) => item.outcome === 'deleted'));
  });

  test('a purge needs to be told what it may delete', async () => {
    await assert.rejects(run({ untagged: 'also' }), { error: 'purgeInvalid' });
  });

  test(`${rounds} random repositories (DL-02, DL-11, DL-18): indexes keep their children, images their signatures, previews come true`, async () => {
    for (let round = 0; round < rounds; round += 1) {
      const at = bench.place(`random-${round}`);
      const pushed = await randomContent(round, at);
      const filters = [parsePurgeFilter(`random-${round}:^old`)];
      const more = { filters, keep: randomInt(3), untagged: 'also' } as const;
      const preview = await run({ ...more, isDryRun: true });
      const done = await run(more);
      assert.deepEqual(named(done), named(preview));
      assert(done.every((item) => item.outcome === 'deleted'));
      const left = await digestsIn(at);
      for (const { manifest, children, subject } of pushed) {
        if (left.has(manifest.digest))
          for (const child of children) assert(left.has(child.digest), 'an index lost a child');
        if (subject !== undefined && left.has(subject.digest))
          assert(left.has(manifest.digest), 'a signature was lost');
      }
      assert.deepEqual(await run(more), [], 'a second run finds nothing more');
    }
  });

  type Pushed = { manifest: SampleManifest; children: readonly SampleManifest[]; subject: SampleManifest | undefined };

  async function randomContent(round: number, at: Place): Promise<Pushed[]> {
    const pushed: Pushed[] = [];
    for (let index = 0; index < 12; index += 1) {
      clock.advance(randomInt(10) * dayMs);
      const annotations = { n: `${round} ${index}` };
      const some = pushed.map((each) => each.manifest).filter(() => randomInt(4) === 0);
      const isIndex = some.length > 0 && randomInt(2) === 0;
      const subject = !isIndex && randomInt(3) === 0 ? some[0] : undefined;
      const more = { annotations, ...(subject && { subject: descriptorOf(subject, subject.mediaType) }) };
      const manifest = isIndex ? sampleIndex(some, more) : sampleImage([config], more);
      const tag = ['', `old${index}`, `keep${index}`][randomInt(3)] ?? '';
      await push(at, manifest, ...(tag === '' ? [] : [tag]));
      pushed.push({ manifest, children: isIndex ? some : [], subject });
    }
    return pushed;
  }
});
