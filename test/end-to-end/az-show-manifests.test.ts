import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { sampleIndex } from '../support/oci-samples.ts';
import { platformImage, pushSample } from '../support/push-sample.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// The command that `az acr manifest list-metadata` takes the place of; scripts still have it. Source: az wire document, 3.5.

const folder = temporaryFolder('az-show-manifests');
let server: BerthServer;
before(async () => {
  server = await startBerth();
});
after(async () => {
  await server.remove();
  folder.remove();
});

const shortSchema = z.strictObject({ digest: z.string(), tags: z.array(z.string()).nullable(), timestamp: z.string() });
const longSchema = z.looseObject({
  digest: z.string(),
  tags: z.array(z.string()).nullish(),
  createdTime: z.string(),
  lastUpdateTime: z.string(),
  mediaType: z.string(),
  imageSize: z.number(),
  changeableAttributes: z.looseObject({ deleteEnabled: z.literal(true) }),
});

for (const release of azReleasesInTurn('debian')) {
  describe(`az ${release.version}`, () => {
    const repository = `v${release.version.replaceAll('.', '-')}/app`;
    const show = `az acr repository show-manifests -n local --repository ${repository}`;
    const images = ['first', 'second', 'third'].map((name) => platformImage(`${repository} ${name}`));
    const index = sampleIndex(images.map(({ image }) => image));
    const digests = [...images.map(({ image }) => image.digest), index.digest];
    let az: AzMachine;

    before(async () => {
      az = await AzMachine.setUp(server, release, join(folder.path, release.version));
      for (const [at, sample] of images.entries()) {
        // The second has no tag.
        const references = [['first', 'stable'], [sample.image.digest], ['third']][at] ?? [];
        await pushSample(server, repository, sample, ...references);
      }
      await pushSample(server, repository, { blobs: [], image: index }, 'all');
    });

    test('manifests are shown with their tags and times, oldest or newest first', async () => {
      const shown = z.array(shortSchema).parse(await az.json(`${show} --orderby time_asc`));
      assert.deepEqual(
        shown.map(({ digest, tags }) => ({ digest, tags: tags?.toSorted() ?? [] })),
        [['first', 'stable'], [], ['third'], ['all']].map((tags, at) => ({ digest: digests[at], tags })),
      );
      const times = shown.map(({ timestamp }) => timestamp);
      assert.deepEqual(times, times.toSorted());
      const newest = z.array(shortSchema).parse(await az.json(`${show} --orderby time_desc --top 2`));
      assert.deepEqual(
        newest.map(({ digest }) => digest),
        digests.toReversed().slice(0, 2),
      );
    });

    test('all of them are shown without an order', async () => {
      const shown = z.array(shortSchema).parse(await az.json(show));
      assert.deepEqual(shown.map(({ digest }) => digest).toSorted(), digests.toSorted());
    });

    test('details are shown where they are asked for', async () => {
      const shown = z.array(longSchema).parse(await az.json(`${show} --detail --orderby time_asc`));
      assert.deepEqual(
        shown.map(({ digest, mediaType }) => [digest, mediaType]),
        [...images.map(({ image }) => image), index].map(({ digest, mediaType }) => [digest, mediaType]),
      );
      const [first] = images;
      assert(first !== undefined);
      const bytes = first.blobs.reduce((sum, blob) => sum + blob.bytes.length, 0);
      assert((shown[0]?.imageSize ?? 0) >= bytes);
    });

    test('a repository that is not there has none', async () => {
      const line = 'az acr repository show-manifests -n local --repository nothing/here';
      assert.match(await az.refused(line), /not known/);
    });
  });
}
