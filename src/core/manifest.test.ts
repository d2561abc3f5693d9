import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDigest } from './digest.ts';
import { type Manifest, maxDescriptors, maxManifestBytes, parseManifest } from './manifest.ts';
import { mediaTypes } from './media-types.ts';

const { ociManifest, ociIndex, ociArtifactManifest, dockerManifest, dockerList } = mediaTypes;
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const foreignType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';

type Json = Readonly<Record<string, unknown>>;

const descriptor = (mediaType: string, digit: string) => ({
  mediaType,
  digest: parseDigest(`sha256:${digit.repeat(64)}`),
  size: 7,
});
const config = descriptor(configType, '0');
const layer = descriptor(layerType, '1');
const foreign = descriptor(foreignType, '4');
const subject = descriptor(ociManifest, '2');
const child = descriptor(ociManifest, '3');

const image = (more: Json = {}): Json => ({
  schemaVersion: 2,
  mediaType: ociManifest,
  config,
  layers: [layer],
  ...more,
});
const index = (more: Json = {}): Json => ({ schemaVersion: 2, mediaType: ociIndex, manifests: [child], ...more });
const artifact = (more: Json = {}): Json => ({ mediaType: ociArtifactManifest, artifactType: 'a/b', ...more });

function parse(manifest: Json | string, contentType?: string): Manifest {
  const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
  return parseManifest(new TextEncoder().encode(text), contentType);
}

const accepted: readonly [
  what: string,
  manifest: Json,
  contentType: string | undefined,
  expected: Partial<Manifest>,
][] = [
  ['an OCI image', image(), ociManifest, { kind: 'image', mediaType: ociManifest, blobs: [config, layer] }],
  ['an image without Content-Type', image(), undefined, { mediaType: ociManifest }],
  ['an image sent as plain JSON', image(), 'application/json', { mediaType: ociManifest }],
  ['an image sent as bytes', image(), 'application/octet-stream', { mediaType: ociManifest }],
  [
    'an image whose type only Content-Type tells',
    image({ mediaType: undefined }),
    dockerManifest,
    { mediaType: dockerManifest },
  ],
  ['an image that nothing tells the type of', image({ mediaType: undefined }), undefined, { mediaType: ociManifest }],
  ['an index that nothing tells the type of', index({ mediaType: undefined }), undefined, { mediaType: ociIndex }],
  [
    'a Docker image',
    image({ mediaType: dockerManifest }),
    dockerManifest,
    { kind: 'image', mediaType: dockerManifest },
  ],
  ['an image without layers', image({ layers: [] }), ociManifest, { blobs: [config] }],
  ['an image whose layers are left out', image({ layers: undefined }), ociManifest, { blobs: [config] }],
  [
    'an image with the same layer twice',
    image({ layers: [layer, layer] }),
    ociManifest,
    { blobs: [config, layer, layer] },
  ],
  ['an empty layer', image({ layers: [{ ...layer, size: 0 }] }), ociManifest, { kind: 'image' }],
  ['an unknown config type', image({ config: { ...config, mediaType: 'x/y' } }), ociManifest, { artifactType: 'x/y' }],
  ['an artifact type', image({ artifactType: 'a/b' }), ociManifest, { artifactType: 'a/b' }],
  ['an empty artifact type', image({ artifactType: '' }), ociManifest, { artifactType: configType }],
  ['an artifact type that is null', image({ artifactType: null }), ociManifest, { artifactType: configType }],
  ['a subject', image({ subject }), ociManifest, { subject }],
  ['a subject that is null', image({ subject: null }), ociManifest, { subject: undefined }],
  ['annotations', image({ annotations: { a: 'b' } }), ociManifest, { annotations: { a: 'b' } }],
  ['annotations that are null', image({ annotations: null }), ociManifest, { annotations: undefined }],
  ['unknown fields', image({ 'x-more': [1, { y: null }] }), ociManifest, { kind: 'image' }],
  [
    'a foreign layer',
    image({ layers: [{ ...foreign, urls: ['https://example.com/x'] }] }),
    ociManifest,
    {
      blobs: [config],
      nonDistributable: [foreign],
    },
  ],
  ['an OCI index', index(), ociIndex, { kind: 'index', children: [child], blobs: [], config: undefined }],
  ['a Docker list', index({ mediaType: dockerList }), dockerList, { kind: 'index', mediaType: dockerList }],
  ['an empty index', index({ manifests: [] }), ociIndex, { children: [] }],
  ['an index without artifact type', index(), ociIndex, { artifactType: undefined }],
  [
    'an index with artifact type and subject',
    index({ artifactType: 'a/b', subject }),
    ociIndex,
    { artifactType: 'a/b', subject },
  ],
  [
    'an artifact manifest',
    artifact({ blobs: [layer], subject }),
    ociArtifactManifest,
    {
      kind: 'image',
      artifactType: 'a/b',
      config: undefined,
      blobs: [layer],
      subject,
    },
  ],
  ['an artifact manifest without blobs', artifact(), ociArtifactManifest, { blobs: [] }],
];

for (const [what, manifest, contentType, expected] of accepted) {
  test(`accepted: ${what}`, () => assert.partialDeepStrictEqual(parse(manifest, contentType), expected));
}

test('a child keeps its platform', () => {
  const platform = { architecture: 'arm64', os: 'linux', variant: 'v8', 'os.features': ['x'] };
  const { children } = parse(index({ manifests: [{ ...child, platform }] }));
  assert.deepEqual(children[0]?.platform, { architecture: 'arm64', os: 'linux', variant: 'v8' });
});

const refused: readonly [why: string, manifest: Json | string, contentType?: string][] = [
  ['no JSON', 'manifest'],
  ['nothing', ''],
  ['a list', '[]'],
  ['a text', '"x"'],
  ['null', 'null'],
  ['two config keys', JSON.stringify(image()).replace('"layers"', '"config":{},"layers"')],
  ['two config keys, one by an escape', JSON.stringify(image()).replace('"layers"', '"\\u0063onfig":{},"layers"')],
  ['a second manifest behind it', JSON.stringify(image()).repeat(2)],
  ['a byte order mark', `\ufeff${JSON.stringify(image())}`],
  ['no schemaVersion', image({ schemaVersion: undefined })],
  ['schemaVersion 3', image({ schemaVersion: 3 })],
  ['schemaVersion as a text', image({ schemaVersion: '2' })],
  ['an image that lists manifests', image({ manifests: [child] })],
  ['an image with an empty list of manifests', image({ manifests: [] })],
  ['an image with manifests null', image({ manifests: null })],
  ['an index that lists layers', index({ layers: [layer] })],
  ['an index with an empty list of layers', index({ layers: [] })],
  ['an index with a config', index({ config })],
  ['an image that says it is an index', image({ mediaType: ociIndex })],
  ['an index that says it is an image', index({ mediaType: ociManifest })],
  ['layers and manifests without a type', { schemaVersion: 2, config, layers: [layer], manifests: [child] }],
  [
    'layers and manifests sent as an image',
    { schemaVersion: 2, config, layers: [layer], manifests: [child] },
    ociManifest,
  ],
  ['Content-Type and mediaType of two images', image(), dockerManifest],
  ['Content-Type of an index on an image', image(), ociIndex],
  ['Content-Type of an image on an index', index(), ociManifest],
  ['an unknown mediaType', image({ mediaType: 'application/x' })],
  ['an unknown Content-Type', image({ mediaType: undefined }), 'text/html'],
  ['mediaType in other case', image({ mediaType: ociManifest.toUpperCase() })],
  ['mediaType that is no text', image({ mediaType: 7 })],
  ['a media type named like a key of Object.prototype', image({ mediaType: 'constructor' })],
  ['no config', image({ config: undefined })],
  ['config null', image({ config: null })],
  ['config as a list', image({ config: [config] })],
  ['layers as an object', image({ layers: { 0: layer } })],
  ['layers as a text', image({ layers: 'x' })],
  ['a layer that is null', image({ layers: [null] })],
  ['a layer that is a digest', image({ layers: [layer.digest] })],
  ['manifests as an object', index({ manifests: {} })],
  ['a descriptor without media type', image({ layers: [{ ...layer, mediaType: undefined }] })],
  ['a descriptor with an empty media type', image({ layers: [{ ...layer, mediaType: '' }] })],
  ['a descriptor without digest', image({ layers: [{ ...layer, digest: undefined }] })],
  ['a malformed digest', image({ layers: [{ ...layer, digest: 'sha256:abc' }] })],
  ['a digest in upper case', image({ layers: [{ ...layer, digest: `sha256:${'A'.repeat(64)}` }] })],
  ['an unknown digest algorithm', image({ layers: [{ ...layer, digest: `md5:${'a'.repeat(32)}` }] })],
  ['a path for a digest', image({ layers: [{ ...layer, digest: '../../etc/passwd' }] })],
  ['a descriptor without size', image({ layers: [{ ...layer, size: undefined }] })],
  ['a negative size', image({ layers: [{ ...layer, size: -1 }] })],
  ['a broken size', image({ layers: [{ ...layer, size: 1.5 }] })],
  ['a size as a text', image({ layers: [{ ...layer, size: '7' }] })],
  ['a size past what a number holds', image({ layers: [{ ...layer, size: 2 ** 53 }] })],
  ['an endless size', JSON.stringify(image()).replace('"size":7', '"size":1e999')],
  ['a malformed subject', image({ subject: { digest: 'x' } })],
  ['a subject that is a text', image({ subject: subject.digest })],
  ['an artifact type that is no text', image({ artifactType: {} })],
  ['NUL in the artifact type', image({ artifactType: 'a/b\0' })],
  ['NUL in a media type', image({ config: { ...config, mediaType: 'a/b\0' } })],
  ['annotations as a list', image({ annotations: ['a'] })],
  ['an annotation that is no text', image({ annotations: { a: 1 } })],
  ['an annotation that is null', image({ annotations: { a: null } })],
  ["a layer's annotation that is no text", image({ layers: [{ ...layer, annotations: { a: [] } }] })],
  ['one layer too many', image({ layers: Array.from({ length: maxDescriptors + 1 }, () => layer) })],
  ['one child too many', index({ manifests: Array.from({ length: maxDescriptors + 1 }, () => child) })],
  ['an artifact manifest that lists manifests', artifact({ manifests: [child] })],
  ['an artifact manifest with malformed blobs', artifact({ blobs: [{}] })],
  ['everything only inherited', `{"__proto__":${JSON.stringify(image())}}`],
  [
    'annotations under a hostile key that are no texts',
    JSON.stringify(image()).replace('{', '{"annotations":{"__proto__":1},'),
  ],
];

for (const [why, manifest, contentType] of refused) {
  test(`refused: ${why}`, () => assert.throws(() => parse(manifest, contentType), { error: 'manifestInvalid' }));
}

const schema1: readonly [what: string, manifest: Json, contentType?: string][] = [
  ['by its version', { schemaVersion: 1, name: 'x', fsLayers: [] }],
  ['by Content-Type', image({ mediaType: undefined }), mediaTypes.dockerSchema1Signed],
  ['by mediaType', image({ mediaType: mediaTypes.dockerSchema1 })],
  ['by its version, whatever Content-Type says', { schemaVersion: 1 }, ociManifest],
];

for (const [what, manifest, contentType] of schema1) {
  test(`Docker schema 1 is refused, known ${what}`, () => {
    assert.throws(() => parse(manifest, contentType), { error: 'manifestSchema1' });
  });
}

test('as many layers as allowed are accepted', () => {
  const layers = Array.from({ length: maxDescriptors }, () => layer);
  assert.equal(parse(image({ layers })).blobs.length, maxDescriptors + 1);
});

test('4 MiB are accepted and one byte more is not', () => {
  const text = JSON.stringify(image());
  assert.doesNotThrow(() => parse(text.padEnd(maxManifestBytes, ' ')));
  assert.throws(() => parse(text.padEnd(maxManifestBytes + 1, ' ')), { error: 'manifestTooLarge' });
});

test('annotations may be called like keys of Object.prototype, which stays as it is', () => {
  const text = JSON.stringify(image()).replace('{', '{"annotations":{"__proto__":"x","constructor":"y"},');
  const { annotations } = parse(text);
  assert.deepEqual(Object.entries(annotations ?? {}), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
  assert.equal(Reflect.get({}, 'x'), undefined);
});
