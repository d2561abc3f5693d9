import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import { Deletions } from '../content/deletions.ts';
import { LastPulls } from '../content/last-pulls.ts';
import type { Place } from '../content/place.ts';
import { expireCaches } from './cache-expiry.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const config = sampleBlob('config');
/** As buildah and BuildKit name what they keep. */
const [unused, used, locked, young] = ['1'.repeat(64), 'buildkit', '2'.repeat(64), 'buildkit-final'] as const;
const job = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  let lastPulls: LastPulls;
  let expire: () => Promise<void>;

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    lastPulls = new LastPulls(bench.here);
    const deletions = new Deletions({ ...bench.here, region: testRegion });
    const parts = { ...bench.here, deletions, lastPulls, cacheRetentionMs: 14 * dayMs };
    expire = () => expireCaches(parts, job);
  });
  after(async () => {
    await lastPulls.close();
    bench.folder.remove();
  });

  const push = async (at: Place, tag: string) => {
    await bench.push(at, config);
    const { bytes, mediaType, digest } = sampleImage([config], { annotations: { tag, at: at.repository } });
    const common = { body: bytes, contentType: mediaType, tags: [] };
    await bench.here.manifests.push(at, me, { ...common, reference: parseReference(tag) });
    return digest;
  };
  const tagsOf = async (repository: string) => {
    const rows = await bench.database.read
      .selectFrom('tags as t')
      .innerJoin('repositories as r', 'r.uid', 't.repository_uid')
      .where('r.name', '=', repository)
      .select('t.name')
      .orderBy('t.name')
      .execute();
    return rows.map(({ name }) => name);
  };

  test('layers that no build wrote or asked for leave their cache; images stay, and so does what is used or locked', async () => {
    const [cache, app] = [bench.place('team/app/berth-cache'), bench.place('team/app')];
    await push(app, 'v1');
    await push(cache, unused);
    const digest = await push(cache, used);
    await push(cache, locked);
    const attributes = new AttributeChanges({ ...bench.here, region: testRegion });
    await attributes.tag(cache, me, parseTag(locked), { deleteEnabled: false });
    clock.advance(13 * dayMs);
    await expire();
    assert.deepEqual(await tagsOf('team/app/berth-cache'), [locked, unused, used].toSorted());
    lastPulls.note(cache, digest, used);
    await push(cache, young);
    clock.advance(2 * dayMs);
    await expire();
    assert.deepEqual(await tagsOf('team/app/berth-cache'), [locked, used, young].toSorted());
    assert.deepEqual(await tagsOf('team/app'), ['v1']);
    clock.advance(30 * dayMs);
    await expire();
    assert.deepEqual(await tagsOf('team/app/berth-cache'), [locked]);
  });

  test('a repository of that name in which somebody keeps images of their own loses nothing', async () => {
    const theirs = bench.place('team/berth-cache');
    await push(theirs, 'v1');
    await push(theirs, unused);
    clock.advance(30 * dayMs);
    await expire();
    assert.deepEqual(await tagsOf('team/berth-cache'), [unused, 'v1']);
  });
});
