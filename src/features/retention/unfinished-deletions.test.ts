import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseDigest } from '../../core/digest.ts';
import { parseReference } from '../../core/reference.ts';
import { FailpointError } from '../../platform/failpoints.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { finishDeletions } from './unfinished-deletions.ts';

const me = fullAuthority();

forEachDatabase((_, open) => {
  let bench: ContentBench;
  const place = () => bench.place('app');
  const put = async (manifest: SampleManifest, at = place()) => {
    await bench.here.manifests.push(at, me, {
      body: manifest.bytes,
      contentType: manifest.mediaType,
      reference: parseReference(manifest.digest),
      tags: [],
    });
  };
  const left = async () => {
    const rows = await bench.database.read.selectFrom('manifests').select('digest').execute();
    return rows.map(({ digest }) => digest);
  };
  const finish = async (laterMs: number, change: AuthorizedChange = bench.here.change) => {
    const clock = new HeldClock(bench.here.clock.nowMicros() + laterMs * 1000);
    const deletions = new Deletions({ ...bench.here, change, region: testRegion });
    const job = { signal: new AbortController().signal, renew: async () => {} };
    await finishDeletions({ ...bench.here, clock, deletions, authority: me }, job);
  };

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('what refers to a deleted manifest goes too when the deletion was cut off; what came later stays', async () => {
    const blob = sampleBlob();
    await bench.push(place(), blob);
    const image = sampleImage([blob]);
    const subject = descriptorOf(image, image.mediaType);
    await put(image);
    for (let n = 0; n < 60; n += 1) {
      const signature = sampleImage([blob], { subject, annotations: { n: String(n) } });
      await put(signature);
      await put(sampleImage([blob], { subject: descriptorOf(signature, signature.mediaType) }));
    }
    const cut = await bench.another({ failpoints: 'delete.commit.after:error@2' });
    const cutOff = new Deletions({ ...cut, region: testRegion });
    await assert.rejects(cutOff.manifest(place(), me, parseDigest(image.digest)), FailpointError);
    const later = sampleImage([blob], { subject, annotations: { when: 'later' } });
    await put(later);
    await finish(0);
    assert.equal((await left()).length, 21, 'it may still be going on');
    await finish(120_000);
    assert.deepEqual(await left(), [later.digest]);
    assert.deepEqual(
      await bench.database.read.selectFrom('walks').where('name', '!=', 'pulls').select('name').execute(),
      [],
    );
  });

  test('a deletion that fails again holds no other up, and is tried again', async () => {
    const [broken, whole] = [bench.place('broken'), bench.place('whole')];
    for (const at of [broken, whole]) await cutOff(at);
    const change: AuthorizedChange = async (at, ...given) => {
      if (at.repository === broken.repository) throw new Error('broken');
      return await bench.here.change(at, ...given);
    };
    await assert.rejects(finish(120_000, change), AggregateError);
    assert.deepEqual([await countIn(broken), await countIn(whole)], [10, 0]);
    await finish(300_000);
    assert.equal(await countIn(broken), 0);
  });

  /** Deletes an image with sixty signatures, as far as one transaction takes that. */
  async function cutOff(at: Place): Promise<void> {
    const blob = sampleBlob();
    await bench.push(at, blob);
    const image = sampleImage([blob]);
    const subject = descriptorOf(image, image.mediaType);
    await put(image, at);
    for (let n = 0; n < 60; n += 1) await put(sampleImage([blob], { subject, annotations: { n: String(n) } }), at);
    const cut = await bench.another({ failpoints: 'delete.commit.after:error@1' });
    const cutShort = new Deletions({ ...cut, region: testRegion }).manifest(at, me, image.digest);
    await assert.rejects(cutShort, FailpointError);
  }

  async function countIn({ repository }: Place): Promise<number> {
    const rows = await bench.database.read
      .selectFrom('manifests as m')
      .innerJoin('repositories as r', 'r.uid', 'm.repository_uid')
      .where('r.name', '=', repository)
      .select('m.digest')
      .execute();
    return rows.length;
  }
});
