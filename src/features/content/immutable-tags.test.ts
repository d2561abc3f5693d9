import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  fullAuthority,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { changesUnderWayEnded } from './changes-under-way.ts';
import { Deletions } from './deletions.ts';
import { immutableTagsOf } from './immutable-tags.ts';
import type { Place } from './place.ts';

const me = fullAuthority('me');
const rules = [
  { repositories: 'prod/*', tags: 'v*', except: ['v*-rc*', 'v-latest'] },
  { repositories: 'prod/*', tags: 'build-*', deletes: 'allowed' },
];

test('rules hold for the repositories and tags of their patterns, but for their exceptions', () => {
  const columns = { immutableTags: JSON.stringify(rules), ownImmutableTags: '[]' };
  const holding = (repository: string, ...tags: string[]) =>
    tags.filter((tag) => immutableTagsOf(columns, repository).holds(tag));
  const tags = ['v1', 'v1-rc1', 'v-latest', 'build-1', 'latest', 'rv1'];
  assert.deepEqual(holding('prod/app', ...tags), ['v1', 'build-1']);
  assert.deepEqual(holding('dev/app', ...tags), []);
  assert.equal(immutableTagsOf({ ...columns, immutableTags: '[]' }, 'prod/app').holds('v1'), false);
});

/** A change has begun in the database with its first answer. */
const firstStatement = async (tx: Transaction) => void (await tx.selectFrom('tenants').select('uid').execute());

forEachDatabase((kind, open) => {
  let bench: ContentBench;
  let here: ContentProcess;
  let deletions: Deletions;
  let count = 0;
  const fresh = () => {
    count += 1;
    return bench.place(`prod/app${count}`);
  };
  const put = (place: Place, manifest: SampleManifest, reference: string, ...tags: string[]) =>
    here.manifests.push(place, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(reference),
      tags: tags.map(parseTag),
    });
  const imageIn = async (place: Place): Promise<SampleManifest> => {
    const blob = sampleBlob();
    await bench.push(place, blob);
    return sampleImage([blob]);
  };
  const digestOf = async (place: Place, tag: string) =>
    (await here.manifests.find(place, parseReference(tag), me)).digest;
  const taken = (place: Place, tag: string) => ({
    error: 'tagImmutable',
    detail: { repository: place.repository, tag },
  });

  before(async () => {
    bench = await contentBench(open);
    here = bench.here;
    deletions = new Deletions({ ...here, region: testRegion });
    await bench.database.transaction(async (tx) => {
      await tx
        .updateTable('registries')
        .set({ immutable_tags: JSON.stringify(rules) })
        .where('uid', '=', bench.registryUid)
        .execute();
    });
  });
  after(() => bench.folder.remove());

  test('a tag is set once; the same push again succeeds and changes nothing', async () => {
    const place = fresh();
    const [image, next] = [await imageIn(place), await imageIn(place)];
    await put(place, image, 'v1');
    const row = await bench.database.read.selectFrom('tags').selectAll().where('name', '=', 'v1').executeTakeFirst();
    await put(place, image, 'v1');
    await assert.rejects(put(place, next, 'v1'), taken(place, 'v1'));
    assert.deepEqual(
      await bench.database.read.selectFrom('tags').selectAll().where('name', '=', 'v1').executeTakeFirst(),
      row,
    );
    for (const tag of ['v1-rc1', 'latest']) {
      await put(place, image, tag);
      await put(place, next, tag);
      assert.equal(await digestOf(place, tag), next.digest);
    }
  });

  test('a push of several tags sets all of them or none', async () => {
    const place = fresh();
    const [image, next] = [await imageIn(place), await imageIn(place)];
    await put(place, image, 'v2');
    await assert.rejects(put(place, next, next.digest, 'a', 'v2', 'z'), taken(place, 'v2'));
    for (const reference of ['a', 'z', next.digest])
      await assert.rejects(digestOf(place, reference), { error: 'manifestUnknown' });
  });

  test('of many that set one tag at once, on two processes, exactly one image gets it', async () => {
    const place = fresh();
    const images = await Promise.all(Array.from({ length: 12 }, () => imageIn(place)));
    const other = await bench.another();
    const results = await Promise.allSettled(
      images.map((image, index) =>
        (index % 2 === 0 ? here : other).manifests.push(place, me, {
          body: image.bytes,
          contentType: image.mediaType,
          reference: parseReference('v3'),
          tags: [],
        }),
      ),
    );
    const winner = await digestOf(place, 'v3');
    for (const [index, result] of results.entries()) {
      if (images[index]?.digest === winner) assert.equal(result.status, 'fulfilled');
      else assert.equal(result.status === 'rejected' && result.reason.error, 'tagImmutable');
    }
  });

  test('rules that were answered hold for every push that ends later', async () => {
    const place = fresh();
    await put(place, await imageIn(place), 'latest');
    const read = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const change = here.change(place, me, async ({ tx }) => {
      await firstStatement(tx);
      read.resolve();
      // SQLite has one writer: nobody can set rules meanwhile.
      if (kind === 'postgres') await goOn.promise;
    });
    await read.promise;
    let isAnswered = false;
    const answer = changesUnderWayEnded(bench.database, here.clock).then(() => {
      isAnswered = true;
    });
    if (kind === 'postgres') {
      await sleep(100);
      assert.equal(isAnswered, false, 'who has read the rules of before is still at work');
    }
    goOn.resolve();
    await change;
    await answer;
  });

  test('who sets rules waits for pushes to that registry alone', async () => {
    if (kind === 'sqlite') return;
    const known = fresh();
    await put(known, await imageIn(known), 'latest');
    const elsewhere = { ...known, registryUid: bench.otherUid };
    await put(elsewhere, await imageIn(elsewhere), 'latest');
    for (const place of [known, fresh()]) {
      const goOn = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const change = here.change(place, me, async ({ tx }) => {
        await firstStatement(tx);
        begun.resolve();
        await goOn.promise;
      });
      await begun.promise;
      const waits: Promise<void>[] = [];
      const isHeldUp = async (registryUid: string) => {
        const wait = changesUnderWayEnded(bench.database, here.clock, registryUid);
        waits.push(wait);
        return await Promise.race([wait.then(() => false), sleep(100).then(() => true)]);
      };
      assert.equal(await isHeldUp(known.registryUid), true);
      // Of a repository that is being made nobody knows where.
      if (place === known) await changesUnderWayEnded(bench.database, here.clock, bench.otherUid);
      else assert.equal(await isHeldUp(bench.otherUid), true);
      goOn.resolve();
      await change;
      await Promise.all(waits);
    }
  });

  test('such a tag is not deleted on any way, unless its rule allows it', async () => {
    const place = fresh();
    const image = await imageIn(place);
    for (const tag of ['v1', 'build-1', 'other']) await put(place, image, tag);
    await assert.rejects(deletions.tag(place, me, parseTag('v1')), { error: 'tagImmutable' });
    await assert.rejects(deletions.reference(place, me, parseReference('v1')), { error: 'tagImmutable' });
    await assert.rejects(deletions.manifest(place, me, image.digest), { error: 'tagImmutable' });
    await assert.rejects(deletions.repository(place, me), { error: 'tagImmutable' });
    for (const tag of ['build-1', 'other']) await deletions.tag(place, me, parseTag(tag));
    assert.equal(await digestOf(place, 'v1'), image.digest);
  });
});
