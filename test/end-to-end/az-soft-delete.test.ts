import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// What was deleted, listed and restored with az. Source: ACR semantics, 8.2; az wire document, 3.6.

const folder = temporaryFolder('az-soft-delete');
let server: BerthServer;
before(async () => {
  server = await startBerth();
});
after(async () => {
  await server.remove();
  folder.remove();
});

const tagsSchema = z.array(z.looseObject({ tag: z.string(), digest: z.string(), deletedAt: z.string() }));
const expirySchema = z.looseObject({ deletedAt: z.string(), expiresAfter: z.string() });
const manifestsSchema = z.array(z.looseObject({ digest: z.string(), deletedAt: z.string() }));

for (const release of azReleasesInTurn('debian')) {
  describe(`az ${release.version}`, () => {
    const repository = `soft/v${release.version.replaceAll('.', '-')}`;
    let az: AzMachine;
    before(async () => {
      az = await AzMachine.setUp(server, release, join(folder.path, release.version));
      await az.json('az acr config soft-delete update -r local --status enabled --days 30 --yes');
    });

    const manifest = async (reference: string) =>
      await asAdmin(server, 'GET', `/v2/${repository}/manifests/${reference}`, { headers: { Accept: '*/*' } });
    const statusOf = async (reference: string) => (await manifest(reference)).status;

    test('a deleted image is listed, restored under its tag, and pulled again', async () => {
      const sample = platformImage(repository);
      await pushSample(server, repository, sample, 'v1', 'v2');
      await az.type(`az acr repository delete -n local --image ${repository}:v1 --yes`);
      assert.deepEqual([await statusOf('v1'), await statusOf(sample.image.digest)], [404, 404]);

      const manifests = manifestsSchema.parse(await az.json(`az acr manifest list-deleted -r local -n ${repository}`));
      assert.deepEqual(
        manifests.map(({ digest }) => digest),
        [sample.image.digest],
      );
      const tags = tagsSchema.parse(await az.json(`az acr manifest list-deleted-tags -r local -n ${repository}`));
      assert.deepEqual(tags.map(({ tag }) => tag).toSorted(), ['v1', 'v2']);

      await az.type(`az acr manifest restore -r local -n ${repository}:v1 --yes`);
      assert.deepEqual([await statusOf('v1'), await statusOf('v2')], [200, 404]);
      await az.type(`az acr manifest restore -r local -n ${repository}:v2 -d ${sample.image.digest} --yes`);
      assert.equal(await statusOf('v2'), 200);
    });

    test('a tag in use is taken only by force', async () => {
      const [old, present] = [platformImage(`${repository} old`), platformImage(`${repository} present`)];
      await pushSample(server, repository, old, 'latest');
      await az.type(`az acr repository untag -n local --image ${repository}:latest`);
      await pushSample(server, repository, present, 'latest');
      const restore = `az acr manifest restore -r local -n ${repository}:latest -d ${old.image.digest} --yes`;
      assert.match(await az.refused(restore), /the tag points at another manifest/);
      await az.type(`${restore} --force`);
      assert.equal((await manifest('latest')).headers.get('docker-content-digest'), old.image.digest);
    });

    test('what was deleted is listed with the end of its days, of one tag alone too, and comes back as it was last', async () => {
      const name = `${repository}/days`;
      const [first, second] = ['first', 'second'].map((seed) => platformImage(`${name} ${seed}`));
      assert(first !== undefined && second !== undefined);
      await pushSample(server, name, first, 'v1', 'other');
      await az.type(`az acr repository untag -n local --image ${name}:v1`);
      await pushSample(server, name, second, 'v1');
      await az.type(`az acr manifest delete -r local -n ${name}:v1 --yes`);
      await az.type(`az acr repository untag -n local --image ${name}:other`);
      const tags = tagsSchema.parse(await az.json(`az acr manifest list-deleted-tags -r local -n ${name}:v1`));
      assert.deepEqual(
        tags.map(({ tag, digest }) => [tag, digest]),
        [first, second].map(({ image }) => ['v1', image.digest]),
      );
      const manifests = await az.json(`az acr manifest list-deleted -r local -n ${name}`);
      for (const { deletedAt, expiresAfter } of z
        .array(expirySchema)
        .parse([...tags, ...z.array(z.unknown()).parse(manifests)]))
        assert.equal(Date.parse(expiresAfter) - Date.parse(deletedAt), 30 * 86_400_000);
      await az.type(`az acr manifest restore -r local -n ${name}:v1 --yes`);
      const restored = await asAdmin(server, 'HEAD', `/v2/${name}/manifests/v1`);
      assert.equal(restored.headers.get('docker-content-digest'), second.image.digest);
    });

    test('a repository that was deleted is listed', async () => {
      await pushSample(server, `${repository}/whole`, platformImage(`${repository} whole`), 'v1');
      await az.type(`az acr repository delete -n local --repository ${repository}/whole --yes`);
      const names = z.array(z.string()).parse(await az.json('az acr repository list-deleted -n local'));
      assert(names.includes(`${repository}/whole`));
    });
  });
}
