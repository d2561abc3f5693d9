import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { attributesSchema } from '../../src/wire/acr/attributes-schema.ts';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { descriptorOf, type SampleManifest } from '../support/oci-samples.ts';
import { platformImage, pushSample } from '../support/push-sample.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// The other ways in which az asks for what is in a registry: options and forms of names. Source: az wire document, 3.5 and 3.6.

const folder = temporaryFolder('az-manifests');
let server: BerthServer;
before(async () => {
  server = await startBerth();
});
after(async () => {
  await server.remove();
  folder.remove();
});

const digestsSchema = z.array(z.looseObject({ digest: z.string() }));
const referrersSchema = z.looseObject({ referrers: digestsSchema.optional(), manifests: digestsSchema.optional() });
const shownSchema = z.looseObject({ digest: z.string(), changeableAttributes: attributesSchema });

for (const release of azReleasesInTurn('newest')) {
  describe(`az ${release.version}`, () => {
    const prefix = `v${release.version.replaceAll('.', '-')}`;
    let az: AzMachine;
    const pushed = async (name: string, ...tags: readonly string[]) => {
      const repository = `${prefix}/${name}`;
      const images: SampleManifest[] = [];
      for (const tag of tags) {
        const sample = platformImage(`${repository} ${tag}`);
        await pushSample(server, repository, sample, tag);
        images.push(sample.image);
      }
      return { repository, images };
    };
    const digestsIn = async (line: string) => {
      const found = digestsSchema.parse(await az.json(line));
      return found.map(({ digest }) => digest);
    };

    before(async () => {
      az = await AzMachine.setUp(server, release, join(folder.path, release.version));
    });

    test('manifests are listed whole, and shown byte for byte', async () => {
      const { repository, images } = await pushed('whole', 'one', 'two');
      const documents = images.map(({ bytes }) => JSON.parse(bytes.toString('utf8')));
      const list = `az acr manifest list -r local -n ${repository} --orderby time_asc`;
      assert.deepEqual(await az.json(list), documents);
      assert.deepEqual(await az.json(`${list} --top 1`), documents.slice(0, 1));
      const raw = await az.type(`az acr manifest show -r local -n ${repository}:one --raw`);
      assert.equal(`sha256:${createHash('sha256').update(raw).digest('hex')}`, images[0]?.digest);
    });

    test('an artifact is named by its whole name, too', async () => {
      const { repository, images } = await pushed('named', 'v1');
      const [image] = images;
      assert(image !== undefined);
      const id = `${server.bootstrap.registry.loginServer}/${repository}`;
      assert.deepEqual(await az.json(`az acr manifest show ${id}:v1`), JSON.parse(image.bytes.toString('utf8')));
      assert.deepEqual(await digestsIn(`az acr manifest list-metadata ${id}`), [image.digest]);
      shownSchema.parse(await az.json(`az acr manifest show-metadata ${id}@${image.digest}`));
      const update = `az acr manifest update-metadata ${id}:v1 --write-enabled false --list-enabled false`;
      const { changeableAttributes } = shownSchema.parse(await az.json(update));
      assert.deepEqual([changeableAttributes.writeEnabled, changeableAttributes.listEnabled], [false, false]);
      await az.type(`az acr manifest update-metadata ${id}:v1 --write-enabled true --list-enabled true`);
      await az.type(`az acr manifest delete ${id}:v1 -y`);
      assert.match(await az.refused(`az acr manifest show ${id}:v1`), /unknown|not found|not known/);
    });

    test('an image is shown and deleted by its digest', async () => {
      const { repository, images } = await pushed('digests', 'v1', 'v2');
      const [first, second] = images.map(({ digest }) => digest);
      const image = `${repository}@${first}`;
      assert.equal(shownSchema.parse(await az.json(`az acr repository show -n local --image ${image}`)).digest, first);
      await az.type(`az acr repository delete -n local --image ${image} -y`);
      assert.deepEqual(await digestsIn(`az acr manifest list-metadata -r local -n ${repository}`), [second]);
    });

    test('referrers are listed by their kind, and with what refers to them', async () => {
      const { repository, images } = await pushed('signed', 'v1');
      const [image] = images;
      assert(image !== undefined);
      const referring = async (subject: SampleManifest, artifactType: string) => {
        const more = { subject: descriptorOf(subject, subject.mediaType), artifactType };
        const { blobs, image: own } = platformImage(`${subject.digest} ${artifactType}`, more);
        await pushSample(server, repository, { blobs, image: own }, own.digest);
        return own;
      };
      const [sbom, signature] = [await referring(image, 'a/sbom'), await referring(image, 'a/sig')];
      const above = await referring(sbom, 'a/sig');
      const list = async (options: string) => {
        const line = `az acr manifest list-referrers -r local -n ${repository}:v1 ${options}`;
        const { referrers, manifests } = referrersSchema.parse(await az.json(line));
        return new Set((referrers ?? manifests ?? []).map(({ digest }) => digest));
      };
      assert.deepEqual(await list(''), new Set([sbom.digest, signature.digest]));
      assert.deepEqual(await list('--artifact-type a/sig'), new Set([signature.digest]));
      assert.deepEqual(await list('--recursive'), new Set([sbom, signature, above].map(({ digest }) => digest)));
    });

    test('lists are cut to the length that is asked for', async () => {
      const { repository, images } = await pushed('top', 'a', 'b', 'c');
      const newest = images.map(({ digest }) => digest).toReversed();
      const list = `az acr manifest list-metadata -r local -n ${repository} --orderby time_desc`;
      assert.deepEqual([await digestsIn(list), await digestsIn(`${list} --top 2`)], [newest, newest.slice(0, 2)]);
      assert.deepEqual(await az.json(`az acr repository show-tags -n local --repository ${repository} --top 2`), [
        'a',
        'b',
      ]);
      assert.equal(z.array(z.string()).parse(await az.json('az acr repository list -n local --top 1')).length, 1);
    });

    test('the password of the admin user is enough, where one gives it', async () => {
      const { repository } = await pushed('basic', 'v1');
      const { username, password } = server.admin;
      const as = `-u ${username} -p '${password}'`;
      assert.deepEqual(await az.json(`az acr repository show-tags -n local --repository ${repository} ${as}`), ['v1']);
      await az.type(`az acr repository untag -n local --image ${repository}:v1 ${as}`);
      const wrong = `az acr repository show -n local --repository ${repository} -u ${username} -p wrong`;
      assert.match(await az.refused(wrong), /[Aa]uthenti|UNAUTHORIZED|401/);
    });
  });
}
