import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference } from '../../core/reference.ts';
import { Deletions } from '../content/deletions.ts';
import { explainBlob } from './explain-blob.ts';

const me = fullAuthority();

forEachDatabase((_, open) => {
  let bench: ContentBench;

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('a blob is explained by what is served and by what can be restored, each manifest once', async () => {
    const place = bench.place('app');
    const deletions = new Deletions({ ...bench.here, region: testRegion });
    const blob = sampleBlob();
    await bench.push(place, blob);
    const image = sampleImage([blob]);
    const push = () =>
      bench.here.manifests.push(place, me, {
        body: image.bytes,
        contentType: image.mediaType,
        reference: parseReference('v1'),
        tags: [],
      });
    const references = async () => {
      const found = await explainBlob(bench.database.read, bench.registryUid, blob.digest);
      assert.equal(found?.referenceCount, found?.references.length);
      return found?.references;
    };
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('registries').set({ keeps_deleted: 1 }).execute();
    });
    assert.deepEqual(await references(), []);
    await push();
    const served = { repository: 'app', manifest: image.digest, tags: ['v1'], isDeleted: false };
    assert.deepEqual(await references(), [served]);
    await deletions.manifest(place, me, image.digest);
    assert.deepEqual(await references(), [{ ...served, tags: [], isDeleted: true }]);
    await push();
    assert.deepEqual(await references(), [served]);
  });
});
