import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import {
  ContainerRegistryClient,
  ContainerRegistryContentClient,
  type OciImageManifest,
} from '@azure/container-registry';
import { ClientSecretCredential } from '@azure/identity';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { sampleIndex } from '../support/oci-samples.ts';
import { platformImage, pushSample } from '../support/push-sample.ts';

type PageSettings = { readonly continuationToken?: string; readonly maxPageSize?: number };
type Paged = { readonly byPage: (settings: PageSettings) => AsyncIterable<Page> };
type Page = readonly unknown[] & { readonly continuationToken?: string };

describe('@azure/container-registry', () => {
  let server: BerthServer;
  let registry: ContainerRegistryClient;
  let content: (repository: string) => ContainerRegistryContentClient;
  before(async () => {
    server = await startBerth();
    const { bootstrap, https } = server;
    const tlsOptions = { ca: readFileSync(server.caPath, 'utf8') };
    const { clientId, clientSecret } = bootstrap.owner;
    const credential = new ClientSecretCredential(bootstrap.tenantId, clientId, clientSecret, {
      authorityHost: https,
      disableInstanceDiscovery: true,
      tlsOptions,
    });
    const options = { audience: https, tlsOptions };
    registry = new ContainerRegistryClient(https, credential, options);
    content = (repository) => new ContainerRegistryContentClient(https, repository, credential, options);
  });
  after(async () => {
    await server.remove();
  });

  test('repositories are listed page by page, and deleted', async () => {
    const names = ['list/a', 'list/b', 'list/c'];
    for (const name of names) await pushSample(server, name, platformImage(name), 'v1');
    const found = (await Array.fromAsync(registry.listRepositoryNames())).filter((name) => name.startsWith('list/'));
    assert.deepEqual(found, names);
    const pages = await Array.fromAsync(registry.listRepositoryNames().byPage({ maxPageSize: 2 }));
    assert.deepEqual([pages[0]?.length, pages.flat().filter((name) => name.startsWith('list/'))], [2, names]);
    await registry.deleteRepository('list/b');
    await registry.getRepository('list/c').delete();
    assert.deepEqual(
      (await Array.fromAsync(registry.listRepositoryNames())).filter((name) => name.startsWith('list/')),
      ['list/a'],
    );
    await assert.rejects(registry.getRepository('list/b').getProperties(), {
      statusCode: 404,
      message: /NAME_UNKNOWN/,
    });
  });

  test('a repository is shown, locked and unlocked', async () => {
    await pushSample(server, 'team/app', platformImage('team/app'), 'v1', 'v2');
    const repository = registry.getRepository('team/app');
    const properties = await repository.getProperties();
    assert.deepEqual(
      [properties.name, properties.registryLoginServer, properties.manifestCount, properties.tagCount],
      ['team/app', server.bootstrap.registry.loginServer, 1, 2],
    );
    assert(properties.createdOn instanceof Date && properties.lastUpdatedOn instanceof Date);
    const locked = { canDelete: false, canWrite: false, canList: false, canRead: false };
    const updated = await repository.updateProperties(locked);
    for (const name of ['canDelete', 'canWrite', 'canList', 'canRead'] as const) assert.equal(updated[name], false);
    await assert.rejects(repository.delete(), {
      statusCode: 405,
      message: /REGISTRY_DISALLOWED_OPERATION.*locked/,
    });
    await assert.rejects(content('team/app').getManifest('v1'), { statusCode: 405 });
    await repository.updateProperties({ canDelete: true, canWrite: true, canList: true, canRead: true });
    await content('team/app').getManifest('v1');
  });

  test('manifests are listed by digest and by time, with platforms and what an index refers to', async () => {
    const samples = ['one', 'two', 'three'].map((seed) => platformImage(`manifests ${seed}`));
    for (const [index, sample] of samples.entries()) await pushSample(server, 'manifests', sample, `v${index}`);
    const images = samples.map(({ image }) => image);
    const index = sampleIndex(images.slice(0, 1));
    await pushSample(server, 'manifests', { blobs: [], image: index }, 'all');
    const repository = registry.getRepository('manifests');
    const digests = async (order?: 'LastUpdatedOnDescending' | 'LastUpdatedOnAscending') => {
      const pages = repository.listManifestProperties(order && { order }).byPage({ maxPageSize: 3 });
      return (await Array.fromAsync(pages)).map((page) => page.map(({ digest }) => digest));
    };
    const inOrder = [...images, index].map(({ digest }) => digest);
    assert.deepEqual((await digests()).flat(), inOrder.toSorted());
    assert.deepEqual(await digests('LastUpdatedOnAscending'), [inOrder.slice(0, 3), inOrder.slice(3)]);
    assert.deepEqual((await digests('LastUpdatedOnDescending')).flat(), inOrder.toReversed());
    const shown = await registry.getArtifact('manifests', 'v0').getManifestProperties();
    assert.deepEqual(
      [shown.digest, shown.architecture, shown.operatingSystem, shown.tags],
      [inOrder[0], 'arm64', 'linux', ['v0']],
    );
    assert.equal(
      shown.sizeInBytes,
      samples[0]?.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0),
    );
    const all = await repository.getArtifact('all').getManifestProperties();
    assert.deepEqual(
      all.relatedArtifacts.map(({ digest }) => digest),
      inOrder.slice(0, 1),
    );
  });

  test('an artifact is locked and deleted', async () => {
    const { blobs, image } = platformImage('artifact');
    await pushSample(server, 'artifacts', { blobs, image }, 'v1');
    const artifact = registry.getArtifact('artifacts', image.digest);
    const locked = await artifact.updateManifestProperties({ canWrite: false, canDelete: false });
    assert.deepEqual([locked.canWrite, locked.canDelete, locked.canRead, locked.canList], [false, false, true, true]);
    await assert.rejects(artifact.delete(), { statusCode: 405 });
    await artifact.updateManifestProperties({ canWrite: true, canDelete: true });
    await artifact.delete();
    await assert.rejects(artifact.getManifestProperties(), { statusCode: 404 });
  });

  test('tags are listed in every order and page by page, shown, locked and deleted', async () => {
    const tags = ['c', 'a', 'b'];
    const { blobs, image } = platformImage('tags');
    await pushSample(server, 'tags', { blobs, image }, ...tags);
    const artifact = registry.getArtifact('tags', image.digest);
    const listed = async (order?: 'LastUpdatedOnDescending' | 'LastUpdatedOnAscending') => {
      const pages = artifact.listTagProperties(order && { order }).byPage({ maxPageSize: 2 });
      return (await Array.fromAsync(pages)).map((page) => page.map(({ name }) => name));
    };
    assert.deepEqual(await listed(), [['a', 'b'], ['c']]);
    assert.deepEqual((await listed('LastUpdatedOnAscending')).flat(), tags);
    assert.deepEqual((await listed('LastUpdatedOnDescending')).flat(), tags.toReversed());
    const shown = await artifact.getTagProperties('a');
    assert.deepEqual([shown.name, shown.digest, shown.repositoryName], ['a', image.digest, 'tags']);
    assert.equal((await artifact.updateTagProperties('a', { canDelete: false })).canDelete, false);
    await assert.rejects(artifact.deleteTag('a'), { statusCode: 405 });
    await artifact.updateTagProperties('a', { canDelete: true });
    await artifact.deleteTag('a');
    assert.deepEqual((await listed()).flat(), ['b', 'c']);
    await assert.rejects(artifact.getTagProperties('a'), { statusCode: 404, message: /TAG_UNKNOWN/ });
    // Azure's own client takes a tag that is not there for deleted.
    await artifact.deleteTag('a');
  });

  test('a list goes on from the token of a page; one without tags is empty', async () => {
    const images = ['paged', 'more'].map((seed) => platformImage(seed));
    for (const each of images) await pushSample(server, 'paged/a', each, `${each.image.digest.slice(7, 12)}`);
    const [untagged] = images;
    assert(untagged !== undefined);
    await pushSample(server, 'paged/b', untagged, untagged.image.digest);
    const lists: readonly Paged[] = [
      registry.listRepositoryNames(),
      registry.getRepository('paged/a').listManifestProperties({ order: 'LastUpdatedOnDescending' }),
      registry.getArtifact('paged/a', 'any').listTagProperties({ order: 'LastUpdatedOnAscending' }),
    ];
    for (const list of lists) {
      const entriesOf = async (settings: PageSettings) =>
        (await Array.fromAsync(list.byPage(settings))).flatMap((page) => [...page]);
      const [first] = await Array.fromAsync(list.byPage({ maxPageSize: 1 }));
      assert(first?.continuationToken !== undefined);
      const rest = await entriesOf({ continuationToken: first.continuationToken });
      assert.deepEqual([...first, ...rest], await entriesOf({}));
    }
    const none = registry.getArtifact('paged/b', untagged.image.digest).listTagProperties();
    assert.deepEqual(await Array.fromAsync(none), []);
  });

  test('an artifact named by a tag is shown, locked and deleted as the manifest that it points at', async () => {
    const { blobs, image } = platformImage('by tag');
    await pushSample(server, 'named', { blobs, image }, 'v1', 'v2');
    const artifact = registry.getRepository('named').getArtifact('v1');
    assert.match(artifact.fullyQualifiedReference, /\/named:v1$/);
    assert.deepEqual((await artifact.getManifestProperties()).tags, ['v1', 'v2']);
    const hidden = await artifact.updateManifestProperties({ canList: false, canRead: false });
    assert.deepEqual([hidden.digest, hidden.canList, hidden.canRead], [image.digest, false, false]);
    await assert.rejects(content('named').getManifest('v1'), { statusCode: 405 });
    const tag = await artifact.updateTagProperties('v2', { canList: false, canRead: false, canWrite: false });
    assert.deepEqual([tag.canList, tag.canRead, tag.canWrite, tag.canDelete], [false, false, false, true]);
    const shown = await Array.fromAsync(artifact.listTagProperties());
    assert.deepEqual(
      shown.map(({ name }) => name),
      ['v1'],
    );
    await artifact.updateTagProperties('v2', { canWrite: true });
    await artifact.delete();
    await assert.rejects(registry.getArtifact('named', 'v2').getManifestProperties(), { statusCode: 404 });
  });

  test('manifests go up as an object or a stream, with a tag or without; blobs as a stream, also an empty one', async () => {
    const client = content('streams');
    const { blobs } = platformImage('streams');
    for (const { bytes } of blobs) await client.uploadBlob(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]));
    const empty = await client.uploadBlob(Buffer.alloc(0));
    assert.equal(empty.sizeInBytes, 0);
    const descriptors = [...blobs.map(({ bytes, digest }) => ({ digest, size: bytes.length })), { ...empty, size: 0 }];
    const [config, ...layers] = descriptors.map(({ digest, size }) => ({ mediaType: 'application/x', digest, size }));
    assert(config !== undefined);
    const manifest: OciImageManifest = { schemaVersion: 2, config, layers };
    const bare = await client.setManifest(manifest);
    const found = await client.getManifest(bare.digest);
    assert.deepEqual([found.digest, found.manifest], [bare.digest, manifest]);
    assert.deepEqual((await registry.getArtifact('streams', bare.digest).getManifestProperties()).tags, []);
    const tagged = await client.setManifest(Readable.from([found.content]), { tag: 'v1' });
    assert.deepEqual([tagged.digest, (await client.getManifest('v1')).content], [bare.digest, found.content]);
    await client.deleteManifest(bare.digest);
    // Azure's own client takes what is not there for deleted.
    await client.deleteManifest(bare.digest);
    await client.deleteBlob(`sha256:${'0'.repeat(64)}`);
    await assert.rejects(client.downloadBlob(`sha256:${'0'.repeat(64)}`), { statusCode: 404 });
  });

  test('blobs and manifests go up, come down and are deleted', async () => {
    const client = content('uploads');
    const [config, layer] = platformImage('uploads').blobs;
    assert(config !== undefined && layer !== undefined);
    const big = Buffer.alloc(9 * 1024 * 1024, 'chunked');
    for (const blob of [config.bytes, layer.bytes]) await client.uploadBlob(blob);
    const uploaded = await client.uploadBlob(big);
    assert.equal(uploaded.sizeInBytes, big.length);
    const { content: stream } = await client.downloadBlob(uploaded.digest);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(Buffer.from(chunk));
    assert(big.equals(Buffer.concat(chunks)));
    const { image } = platformImage('uploads');
    const { digest } = await client.setManifest(image.bytes, { tag: 'v1', mediaType: image.mediaType });
    assert.equal(digest, image.digest);
    const found = await client.getManifest('v1');
    assert.deepEqual([found.digest, found.mediaType], [digest, image.mediaType]);
    await client.deleteBlob(uploaded.digest);
    await client.deleteManifest(digest);
    await assert.rejects(client.getManifest('v1'), { statusCode: 404 });
  });
});
