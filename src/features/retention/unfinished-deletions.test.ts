import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseDigest } from '../../core/digest.ts';
import { parseReference } from '../../core/reference.ts';
import { FailpointError } from '../../platform/failpoints.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { Deletions } from '../content/deletions.ts';
import { finishDeletions } from './unfinished-deletions.ts';

const me = fullAuthority();

forEachDatabase((_, open) => {
  let bench: ContentBench;
  const place = () => bench.place('app');
  const put = async (manifest: SampleManifest) => {
    await bench.here.manifests.push(place(), me, {
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
  const finish = async (laterMs: number) => {
    const clock = new HeldClock(bench.here.clock.nowMicros() + laterMs * 1000);
    const deletions = new Deletions({ ...bench.here, region: testRegion });
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
});
