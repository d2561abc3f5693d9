import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { attributesSchema } from '../../src/wire/acr/attributes-schema.ts';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { descriptorOf, type SampleManifest, sampleIndex } from '../support/oci-samples.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// What is in a registry, as people look at it, lock it and delete it with az. Source: az wire document, 3.5 and 3.6.

const folder = temporaryFolder('az-content');
let server: BerthServer;
before(async () => {
  server = await startBerth();
});
after(async () => {
  await server.remove();
  folder.remove();
});

const tagSchema = z.looseObject({ name: z.string(), digest: z.string(), lastUpdateTime: z.string() });
const manifestSchema = z.looseObject({
  digest: z.string(),
  architecture: z.string().optional(),
  os: z.string().optional(),
  tags: z.array(z.string()).nullish(),
});
const lockedSchema = z.looseObject({ changeableAttributes: attributesSchema });

for (const release of azReleasesInTurn('newest')) {
  describe(`az ${release.version}`, () => {
    const prefix = `v${release.version.replaceAll('.', '-')}`;
    let az: AzMachine;
    let count = 0;
    /** A repository of its own with these tags, each on an image of its own. */
    const filled = async (...tags: readonly string[]) => {
      count += 1;
      const repository = `${prefix}/app${count}`;
      const images = [];
      for (const tag of tags) {
        const sample = platformImage(`${repository} ${tag}`);
        await pushSample(server, repository, sample, tag);
        images.push(sample.image);
      }
      return { repository, images };
    };
    const names = async (line: string) => z.array(z.string()).parse(await az.json(line));

    before(async () => {
      az = await AzMachine.setUp(server, release, join(folder.path, release.version));
    });

    test('repositories are listed and shown', async () => {
      const { repository } = await filled('a', 'b');
      assert((await names('az acr repository list -n local')).includes(repository));
      const shown = z.looseObject({
        imageName: z.literal(repository),
        manifestCount: z.literal(2),
        tagCount: z.literal(2),
        changeableAttributes: attributesSchema,
      });
      shown.parse(await az.json(`az acr repository show -n local --repository ${repository}`));
      assert.match(await az.refused('az acr repository show -n local --repository nothing/here'), /not known/);
    });

    test('tags are shown by name and by time, page by page, with all they say', async () => {
      const tags = Array.from({ length: 205 }, (_, index) => `t${String(index).padStart(3, '0')}`);
      const { repository } = await filled('first');
      const sample = platformImage(`${repository} many`);
      await pushSample(server, repository, sample, ...tags.toReversed());
      const show = `az acr repository show-tags -n local --repository ${repository}`;
      assert.deepEqual(await names(show), ['first', ...tags]);
      assert.deepEqual(await names(`${show} --orderby time_asc`), ['first', ...tags.toReversed()]);
      assert.deepEqual(await names(`${show} --orderby time_desc`), [...tags, 'first']);
      assert.deepEqual(await names(`${show} --orderby time_desc --top 150`), tags.slice(0, 150));
      const [newest] = z.array(tagSchema).parse(await az.json(`${show} --orderby time_desc --top 1 --detail`));
      assert.deepEqual([newest?.name, newest?.digest], ['t000', sample.image.digest]);
      tagSchema.parse(await az.json(`az acr repository show -n local --image ${repository}:t001`));
    });

    test('manifests are listed with sizes, platforms and tags', async () => {
      const { repository, images } = await filled('one', 'two');
      const [image] = images;
      assert(image !== undefined);
      await pushSample(server, repository, { blobs: [], image: sampleIndex(images) }, 'both');
      const listed = z
        .array(manifestSchema)
        .parse(await az.json(`az acr manifest list-metadata -r local -n ${repository} --orderby time_asc`));
      assert.deepEqual(
        listed.map(({ digest, architecture, os, tags }) => ({ digest, architecture, os, tags })),
        [
          ...images.map(({ digest }, index) => ({
            digest,
            architecture: 'arm64',
            os: 'linux',
            tags: [index === 0 ? 'one' : 'two'],
          })),
          { digest: sampleIndex(images).digest, architecture: undefined, os: undefined, tags: ['both'] },
        ].map((entry) => ({ ...entry })),
      );
      const metadata = await az.json(`az acr manifest show-metadata -r local -n ${repository}@${image.digest}`);
      assert.equal(manifestSchema.parse(metadata).digest, image.digest);
      const shown = await az.json(`az acr manifest show -r local -n ${repository}:one`);
      assert.deepEqual(shown, JSON.parse(image.bytes.toString('utf8')));
    });

    test('what refers to a manifest is listed', async () => {
      const { repository, images } = await filled('signed');
      const [image] = images;
      assert(image !== undefined);
      const signature = platformImage('signature', {
        subject: descriptorOf(image, image.mediaType),
        artifactType: 'a/sig',
      });
      await pushSample(server, repository, signature, signature.image.digest);
      const answer = z
        .looseObject({ referrers: z.array(manifestSchema) })
        .or(z.looseObject({ manifests: z.array(manifestSchema) }))
        .parse(await az.json(`az acr manifest list-referrers -r local -n ${repository}:signed`));
      const [referrer] =
        'referrers' in answer
          ? z.array(manifestSchema).parse(answer.referrers)
          : z.array(manifestSchema).parse(answer.manifests);
      assert.equal(referrer?.digest, signature.image.digest);
    });

    test('a locked image is neither pushed over nor deleted; unlocked it is', async () => {
      const { repository, images } = await filled('v1', 'other');
      const image = `${repository}:v1`;
      const locked = lockedSchema.parse(
        await az.json(`az acr repository update -n local --image ${image} --write-enabled false`),
      );
      assert.equal(locked.changeableAttributes.writeEnabled, false);
      assert.match(await az.refused(`az acr repository delete -n local --image ${image} -y`), /disallowed/);
      assert.match(await az.refused(`az acr repository untag -n local --image ${image}`), /disallowed/);
      assert.match(await az.refused(`az acr repository delete -n local --repository ${repository} -y`), /disallowed/);
      const body = new Uint8Array(images[1]?.bytes ?? Buffer.alloc(0));
      const headers = { 'Content-Type': images[1]?.mediaType ?? '' };
      assert.equal((await asAdmin(server, 'PUT', `/v2/${repository}/manifests/v1`, { body, headers })).status, 405);
      await az.type(`az acr repository update -n local --image ${image} --write-enabled true`);
      await az.type(`az acr repository delete -n local --image ${image} -y`);
      assert.deepEqual(await names(`az acr repository show-tags -n local --repository ${repository}`), ['other']);
    });

    test('a manifest and a whole repository are locked and hidden', async () => {
      const { repository, images } = await filled('v1');
      const digest = images[0]?.digest ?? '';
      const update = `az acr repository update -n local --delete-enabled false`;
      assert.equal(
        lockedSchema.parse(await az.json(`${update} --image ${repository}@${digest}`)).changeableAttributes
          .deleteEnabled,
        false,
      );
      assert.match(await az.refused(`az acr manifest delete -r local -n ${repository}@${digest} -y`), /disallowed/);
      await az.type(`az acr manifest update-metadata -r local -n ${repository}@${digest} --delete-enabled true`);
      await az.type(
        `az acr repository update -n local --repository ${repository} --list-enabled false --read-enabled false`,
      );
      assert(!(await names('az acr repository list -n local')).includes(repository));
      assert.match(await az.refused(`az acr manifest show -r local -n ${repository}:v1`), /disallowed/);
      await az.type(
        `az acr repository update -n local --repository ${repository} --list-enabled true --read-enabled true`,
      );
      await az.type(`az acr manifest delete -r local -n ${repository}@${digest} -y`);
    });

    test('a tag that the policy of the registry covers is written once', async () => {
      const id = (await az.type('az acr show -n local --query id -o tsv')).trim();
      const policy = 'properties.policies.immutableTagsPolicy';
      const repositories = `${prefix}/app*`;
      const rules = JSON.stringify([{ repositories, tags: 'v*', except: ['v*-rc*'] }]);
      await az.type(`az resource update --ids ${id} --set ${policy}.status=enabled ${policy}.rules='${rules}'`);
      const { repository, images } = await filled('v1', 'v1-rc1');
      const [image, other] = images;
      assert(image !== undefined && other !== undefined);
      const pushed = async (manifest: SampleManifest, tag: string) => {
        const headers = { 'Content-Type': manifest.mediaType };
        const body = new Uint8Array(manifest.bytes);
        return (await asAdmin(server, 'PUT', `/v2/${repository}/manifests/${tag}`, { body, headers })).status;
      };
      assert.deepEqual(
        [await pushed(image, 'v1'), await pushed(other, 'v1'), await pushed(image, 'v1-rc1')],
        [201, 405, 201],
      );
      assert.match(await az.refused(`az acr repository untag -n local --image ${repository}:v1`), /written once/);
      await az.type(`az resource update --ids ${id} --set ${policy}.status=disabled`);
      await az.type(`az acr repository untag -n local --image ${repository}:v1`);
    });

    test('a tag is taken away, a repository deleted, and the space is told', async () => {
      const size = async () => {
        const usage = z.looseObject({ value: z.array(z.looseObject({ name: z.string(), currentValue: z.number() })) });
        const { value } = usage.parse(await az.json('az acr show-usage -n local'));
        return value.find(({ name }) => name === 'Size')?.currentValue ?? Number.NaN;
      };
      const before = await size();
      const { repository, images } = await filled('v1', 'v2');
      const sample = platformImage(`${repository} v1`);
      const added = [...sample.blobs, ...platformImage(`${repository} v2`).blobs, ...images];
      assert.equal(await size(), before + added.reduce((sum, { bytes }) => sum + bytes.length, 0));
      await az.type(`az acr repository untag -n local --image ${repository}:v1`);
      assert.deepEqual(await names(`az acr repository show-tags -n local --repository ${repository}`), ['v2']);
      assert.match(await az.refused(`az acr repository untag -n local --image ${repository}:v1`), /does not exist/);
      await az.type(`az acr repository delete -n local --repository ${repository} -y`);
      assert(!(await names('az acr repository list -n local')).includes(repository));
      assert.equal(await size(), before);
    });
  });
}
