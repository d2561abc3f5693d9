import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bodyOf } from '../../../test/support/bodies.ts';
import {
  type ContentBench,
  type ContentProcess,
  contentBench,
  fullAuthority,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleManifest, sampleBlob, sampleImage, sampleIndex } from '../../../test/support/oci-samples.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import type { Place } from './place.ts';

const me = fullAuthority('me');

/** Interleavings of pushes and deletes; each outcome leaves no index, manifest or tag that points to something missing. */
forEachDatabase((_, open) => {
  let bench: ContentBench;
  let processes: readonly ContentProcess[];

  before(async () => {
    bench = await contentBench(open);
    processes = [bench.here, await bench.another()];
  });
  after(() => bench.folder.remove());

  const push = async (
    at: ContentProcess,
    place: Place,
    manifest: SampleManifest,
    reference: string,
    tags: string[] = [],
  ) =>
    await at.manifests.push(place, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(reference),
      tags: tags.map(parseTag),
    });
  /** Rounds of two steps at once, in two processes; each may only succeed or be refused with one of these errors. */
  const race = async (
    rounds: number,
    allowed: readonly string[],
    steps: (round: number) => Promise<readonly (() => Promise<unknown>)[]>,
  ) => {
    const outcomes = new Set<string>();
    for (let round = 0; round < rounds; round += 1) {
      const results = await Promise.allSettled((await steps(round)).map((step) => step()));
      for (const result of results) {
        if (result.status === 'fulfilled') continue;
        assert(result.reason instanceof BerthError, String(result.reason));
        assert(allowed.includes(result.reason.error), result.reason.error);
        outcomes.add(result.reason.error);
      }
      await assertWhole(bench);
    }
    return outcomes;
  };
  const pair = () => {
    const [here, there] = processes;
    assert(here && there);
    return [here, there] as const;
  };

  test('delete of a child against a push of an index that names it', async () => {
    const [here, there] = pair();
    await race(15, ['manifestBlobUnknown', 'manifestReferenced'], async (round) => {
      const place = bench.place(`child${round}`);
      const config = sampleBlob();
      await bench.push(place, config);
      const child = sampleImage([config]);
      await push(here, place, child, 'child');
      return [
        () => push(there, place, sampleIndex([child]), 'multi'),
        () => here.manifests.remove(place, me, { kind: 'digest', digest: child.digest }),
      ];
    });
  });

  test('delete of a blob against a push of an image that names it', async () => {
    const [here, there] = pair();
    await race(15, ['manifestBlobUnknown', 'blobReferenced'], async (round) => {
      const place = bench.place(`blob${round}`);
      const config = sampleBlob();
      await bench.push(place, config);
      return [
        () => push(there, place, sampleImage([config]), 'latest'),
        () => here.blobs.remove(place, me, config.digest),
      ];
    });
  });

  test('push of a blob against a push of an image that may name it before it is there: it counts as in use', async () => {
    const [here, there] = pair();
    const type = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
    const digests: string[] = [];
    await race(30, [], async (round) => {
      const [place, config, blob] = [bench.place(`foreign${round}`), sampleBlob(), sampleBlob()];
      digests.push(blob.digest);
      await bench.push(place, config);
      const image = sampleImage([config], {
        layers: [{ mediaType: type, digest: blob.digest, size: blob.bytes.length }],
      });
      return [
        () => here.uploads.push(place, me, blob.digest, bodyOf(blob.bytes)),
        () => push(there, place, image, 'latest'),
      ];
    });
    const inUse = bench.database.read.selectFrom('referenced_blobs').where('digest', 'in', digests).select('digest');
    assert.deepEqual(new Set((await inUse.execute()).map(({ digest }) => digest)), new Set(digests));
  });

  test('first pushes of several blobs of a new repository', async () => {
    const [here, there] = pair();
    await race(15, [], async (round) => {
      const place = bench.place(`new${round}`);
      const known = sampleBlob();
      await bench.push(bench.place('elsewhere'), known);
      const blobs = [known, sampleBlob(), sampleBlob(), sampleBlob()];
      return blobs.map((blob, index) => async () => {
        const at = index % 2 === 0 ? here : there;
        await at.uploads.push(place, me, blob.digest, bodyOf(blob.bytes));
        assert.equal((await at.blobs.find(place, blob.digest, me)).sizeBytes, blob.bytes.length);
      });
    });
  });

  test('delete of a blob against a mount of it', async () => {
    const [here, there] = pair();
    await race(15, [], async (round) => {
      const place = bench.place(`source${round}`);
      const target = bench.place(`target${round}`);
      const config = sampleBlob();
      await bench.push(place, config);
      return [
        () => here.blobs.remove(place, me, config.digest),
        async () => {
          const isMounted = await there.blobs.mount(target, me, config.digest, place.repository);
          if (isMounted) await push(there, target, sampleImage([config]), 'latest');
        },
      ];
    });
  });

  test('delete of a manifest against a push of the same one with a tag', async () => {
    const [here, there] = pair();
    await race(15, ['manifestUnknown'], async (round) => {
      const place = bench.place(`again${round}`);
      const config = sampleBlob();
      await bench.push(place, config);
      const image = sampleImage([config]);
      await push(here, place, image, 'one');
      return [
        () => push(there, place, image, 'two'),
        () => here.manifests.remove(place, me, { kind: 'digest', digest: image.digest }),
      ];
    });
  });

  test('delete of a manifest against a move of its tag', async () => {
    const [here, there] = pair();
    await race(15, ['manifestUnknown'], async (round) => {
      const place = bench.place(`move${round}`);
      const config = sampleBlob();
      await bench.push(place, config);
      const [older, newer] = [sampleImage([config]), sampleImage([config], { annotations: { a: 'b' } })];
      await push(here, place, older, 'latest');
      return [
        () => push(there, place, newer, 'latest'),
        () => here.manifests.remove(place, me, { kind: 'digest', digest: older.digest }),
        () => here.manifests.remove(place, me, parseReference('latest')),
      ];
    });
  });

  test('pushes that set the same tags in opposite orders', { timeout: 20_000 }, async () => {
    const [here, there] = pair();
    const place = bench.place('orders');
    const config = sampleBlob();
    await bench.push(place, config);
    const tags = Array.from({ length: 50 }, (_unused, index) => `t${index}`);
    const started = performance.now();
    await race(5, [], async (round) => {
      const images = ['x', 'y'].map((each) => sampleImage([config], { annotations: { each: `${each}${round}` } }));
      const [one, other] = images;
      assert(one && other);
      return [
        () => push(here, place, one, one.digest, tags),
        () => push(there, place, other, other.digest, tags.toReversed()),
      ];
    });
    assert(performance.now() - started < 4_000, 'no deadlock that had to be broken');
  });

  test('50 writers on one tag all succeed, and the tag is the last of them', async () => {
    const place = bench.place('one-tag');
    const config = sampleBlob();
    await bench.push(place, config);
    const images = Array.from({ length: 50 }, (_unused, index) =>
      sampleImage([config], { annotations: { index: String(index) } }),
    );
    await Promise.all(images.map((image, at) => push(pair()[at % 2 === 0 ? 0 : 1], place, image, 'latest')));
    await assertWhole(bench);
    const { digest } = await bench.here.manifests.find(place, parseReference('latest'), me);
    const stream = streamOf(bench.registryUid, testRegion);
    const events = await bench.here.journal.after(await bench.here.journal.start(stream), 10_000);
    const sets = events.filter(({ type, data }) => type === 'tag.set' && data.repository === place.repository);
    assert.equal(sets.length, 50);
    const times = sets.map(({ data }) => Number(data.hybridTime));
    assert.deepEqual(
      times,
      [...new Set(times)].sort((a, b) => a - b),
      'hybrid times grow in commit order',
    );
    assert.equal(sets.at(-1)?.data.digest, digest);
  });

  test('50 clients push one blob to 50 repositories: all succeed, and it is stored once', async () => {
    const blob = sampleBlob('fifty', 200_000);
    const before = (await bench.stored()).length;
    const places = Array.from({ length: 50 }, (_unused, index) => bench.place(`fifty/app${index}`));
    await Promise.all(
      places.map(async (place, at) => {
        const { uploads } = pair()[at % 2 === 0 ? 0 : 1];
        if (at % 3 === 0) return await uploads.push(place, me, blob.digest, bodyOf(blob.bytes));
        const session = uploads.session(uploads.begin(place, me, 'sha256').ticket, place, me);
        await uploads.append(session, me, { body: bodyOf(blob.bytes.subarray(0, 90_000)), range: undefined });
        await uploads.finish(session, me, blob.digest, { body: bodyOf(blob.bytes.subarray(90_000)), range: undefined });
      }),
    );
    assert.equal((await bench.stored()).length, before + 1);
    for (const place of places) assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
  });

  test('two clients on one upload: every chunk counts once, and the blob is what one of them sent', async () => {
    const [here, there] = pair();
    const place = bench.place('one-upload');
    for (let round = 0; round < 10; round += 1) {
      const blob = sampleBlob(undefined, 40_000);
      const session = here.uploads.session(here.uploads.begin(place, me, 'sha256').ticket, place, me);
      const client = async (at: ContentProcess) => {
        for (let start = 0; start < 40_000; start += 10_000) {
          const body = bodyOf(blob.bytes.subarray(start, start + 10_000));
          await at.uploads
            .append(session, me, { body, range: { start, lengthBytes: 10_000 } })
            .catch(refusedAs('uploadBusy', 'uploadRange'));
        }
      };
      await Promise.all([client(here), client(there)]);
      for (let offset = await here.uploads.offset(session, me); offset < 40_000; offset += 10_000) {
        const body = bodyOf(blob.bytes.subarray(offset, offset + 10_000));
        await here.uploads.append(session, me, { body, range: undefined });
      }
      const ending = { body: bodyOf(Buffer.alloc(0)), range: undefined };
      const results = await Promise.allSettled(
        [here, there].map((at) => at.uploads.finish(session, me, blob.digest, ending)),
      );
      assert(results.some((result) => result.status === 'fulfilled'));
      for (const result of results)
        if (result.status === 'rejected') refusedAs('uploadBusy', 'uploadUnknown')(result.reason);
      assert((await bench.pull(place, blob.digest)).equals(blob.bytes));
    }
  });
});

function refusedAs(...errors: readonly string[]): (error: unknown) => void {
  return (error) => assert(error instanceof BerthError && errors.includes(error.error), String(error));
}

/** I2: no tag, index or image points to something that is not there. */
async function assertWhole({ database }: ContentBench): Promise<void> {
  const dangling = await database.read
    .selectFrom('manifest_references as f')
    .innerJoin('repositories as r', 'r.uid', 'f.repository_uid')
    .leftJoin('manifests as m', (join) =>
      join.onRef('m.repository_uid', '=', 'f.repository_uid').onRef('m.digest', '=', 'f.digest'),
    )
    .leftJoin('blob_links as l', (join) =>
      join.onRef('l.repository_uid', '=', 'f.repository_uid').onRef('l.digest', '=', 'f.digest'),
    )
    .leftJoin('blobs as b', (join) =>
      join.onRef('b.registry_uid', '=', 'r.registry_uid').onRef('b.digest', '=', 'l.digest'),
    )
    .where((where) =>
      where.or([
        where.and([where('f.kind', '=', 'manifest'), where('m.digest', 'is', null)]),
        where.and([where('f.kind', '=', 'blob'), where('b.digest', 'is', null)]),
      ]),
    )
    .select(['r.name', 'f.digest', 'f.kind'])
    .execute();
  assert.deepEqual(dangling, []);
  const tags = await database.read
    .selectFrom('tags as t')
    .leftJoin('manifests as m', (join) =>
      join.onRef('m.repository_uid', '=', 't.repository_uid').onRef('m.digest', '=', 't.digest'),
    )
    .where('m.digest', 'is', null)
    .select(['t.name'])
    .execute();
  assert.deepEqual(tags, []);
}
