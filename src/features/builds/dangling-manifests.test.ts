import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  configType,
  descriptorOf,
  manifestOf,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { mediaTypes } from '../../core/media-types.ts';
import { parseReference } from '../../core/reference.ts';
import { danglingManifests } from './dangling-manifests.ts';

const me = fullAuthority();

forEachDatabase((_, open) => {
  let bench: ContentBench;
  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('what no tag holds, also through indexes, is found; images of OCI are left out', async () => {
    const place = bench.place('team/app');
    const push = async (manifest: SampleManifest, reference: string = manifest.digest) => {
      const { bytes: body, mediaType: contentType } = manifest;
      await bench.here.manifests.push(place, me, { body, contentType, reference: parseReference(reference), tags: [] });
      return manifest;
    };
    const image = async (name: string, tag?: string) => {
      const config = sampleBlob(name);
      await bench.push(place, config);
      const manifest = manifestOf({
        ...{ schemaVersion: 2, mediaType: mediaTypes.dockerManifest },
        ...{ config: descriptorOf(config, configType), layers: [] },
      });
      return await push(manifest, tag);
    };
    const [one, two, three, four] = [await image('one'), await image('two'), await image('three'), await image('four')];
    const inner = await push(sampleIndex([two]));
    await push(sampleIndex([inner, one]), 'v1');
    const loose = await push(sampleIndex([four]));
    const config = sampleBlob('signature');
    await bench.push(place, config);
    await push(sampleImage([config]));
    await image('tagged', 'v2');
    const found = await Array.fromAsync(danglingManifests(bench.database.read, place, me));
    assert.deepEqual(
      found.map(({ digest }) => digest),
      [three, loose, four].map(({ digest }) => digest).toSorted(),
    );
    assert.ok(found.every(({ attributes }) => attributes.writeEnabled && attributes.deleteEnabled));
    await assert.rejects(Array.fromAsync(danglingManifests(bench.database.read, bench.place('none'), me)), {
      error: 'nameUnknown',
    });
  });
});
