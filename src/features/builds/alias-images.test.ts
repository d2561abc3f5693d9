import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference } from '../../core/reference.ts';
import { aliasImagesOf, isAliasThere, parseAliasImages } from './alias-images.ts';

const host = 'contoso.berth.test:5443';

describe('words that stand for images', () => {
  test('are those of every registry, and those of the installation instead or beside', () => {
    const registered = parseAliasImages([
      'bash=tools/bash:5',
      'tf=registry.example/terraform',
      `curl=${host}/c@${digest}`,
    ]);
    assert.deepEqual(
      aliasImagesOf(registered, host).map(({ name, image }) => `${name} ${image}`),
      [
        `az ${host}/acr/az:latest`,
        `bash ${host}/tools/bash:5`,
        `cssc ${host}/acr/cssc:latest`,
        `curl ${host}/c@${digest}`,
        'tf registry.example/terraform:latest',
      ],
    );
  });

  for (const [what, pair, message] of [
    ['without an image', 'bash', /not of the form word=image/],
    ['with two', 'bash=a=b', /not of the form word=image/],
    ['for what is done without one', 'docker=docker:27', /'docker' is done without an image/],
    ['that are no words', 'my-tool=a', /letters and digits/],
    ['that are empty', '=a', /alias/],
    ['with what is no image', 'bash=A B', /not an image name/],
  ] as const)
    test(`are refused ${what}`, () => {
      assert.throws(() => parseAliasImages([pair]), message);
    });
});

const digest = `sha256:${'a'.repeat(64)}`;

forEachDatabase((_, open) => {
  let bench: ContentBench;
  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('an image of the installation is there or not; one elsewhere nobody looks at', async () => {
    const config = sampleBlob('config');
    const at = bench.place('acr/bash');
    await bench.push(at, config);
    const { bytes, mediaType, digest: pushed } = sampleImage([config]);
    const common = { body: bytes, contentType: mediaType, tags: [], reference: parseReference('latest') };
    await bench.here.manifests.push(at, fullAuthority(), common);
    const uidOf = (name: string) => (name === host ? bench.registryUid : undefined);
    const look = (image: string) => isAliasThere(bench.database.read, uidOf, { name: 'bash', image });
    assert.equal(await look(`${host}/acr/bash:latest`), true);
    assert.equal(await look(`${host}/acr/bash@${pushed}`), true);
    assert.equal(await look(`${host}/acr/bash:v2`), false);
    assert.equal(await look(`${host}/acr/bash@${digest}`), false);
    assert.equal(await look(`${host}/acr/az:latest`), false);
    assert.equal(await look('elsewhere.example/acr/bash:latest'), undefined);
  });
});
