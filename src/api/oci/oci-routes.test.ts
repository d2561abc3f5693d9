import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bodyOf } from '../../../test/support/bodies.ts';
import { fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  descriptorOf,
  hashOf,
  manifestOf,
  type SampleManifest,
  sampleBlob,
  sampleImage,
  sampleIndex,
} from '../../../test/support/oci-samples.ts';
import { type Ask, otherHost, type RegistryApp, registryApp } from '../../../test/support/registry-app.ts';
import { mediaTypes } from '../../core/media-types.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { errorListSchema, referrerListSchema } from '../../wire/oci/lists.ts';

const { ociIndex, ociManifest, dockerManifest, dockerSchema1Signed } = mediaTypes;
const config = sampleBlob('config');
const layer = sampleBlob('layer', 3000);
const image = sampleImage([config, layer]);
const arm = sampleImage([config], { annotations: { platform: 'arm64' } });
const platformOf = (architecture: string) => ({ platform: { os: 'linux', architecture } });
const index = sampleIndex([], {
  manifests: [
    { ...descriptorOf(arm, arm.mediaType), ...platformOf('arm64') },
    { ...descriptorOf(image, image.mediaType), ...platformOf('amd64') },
  ],
});
const subject = descriptorOf(image, ociManifest);
const signature = sampleImage([config], { subject, artifactType: 'a/sig' });
const sbom = sampleImage([config], { subject, artifactType: 'a/sbom', annotations: { tool: 'x' } });
const nowhere = sampleBlob('never pushed').digest;
const in512 = hashOf(image.bytes, 'sha512');

type Row = readonly [
  what: string,
  ask: string,
  with_: Ask,
  status: number,
  expected: {
    /** Code of the error. */
    readonly code?: string;
    /** null: absent. */
    readonly headers?: Readonly<Record<string, string | null>>;
    readonly body?: Uint8Array | object;
  },
];

const blobHeaders = {
  'content-type': 'application/octet-stream',
  'content-length': '3000',
  'docker-content-digest': layer.digest,
  etag: `"${layer.digest}"`,
  'accept-ranges': 'bytes',
};
const headersOf = ({ bytes, digest, mediaType }: SampleManifest) => ({
  'content-type': mediaType,
  'content-length': String(bytes.length),
  'docker-content-digest': digest,
  etag: `"${digest}"`,
});
const range = (text: string): Ask => ({ headers: { range: text } });
const ifNoneMatch = (text: string): Ask => ({ headers: { 'if-none-match': text } });
const accept = (text: string): Ask => ({ headers: { accept: text } });
const empty = Buffer.alloc(0);

/** Nothing here changes anything. */
const reads: readonly Row[] = [
  ['the base', 'GET /v2/', {}, 200, { body: {}, headers: { 'docker-distribution-api-version': 'registry/2.0' } }],
  ['the base without its slash', 'GET /v2', {}, 200, {}],
  ['the base by HEAD', 'HEAD /v2/', {}, 200, { body: empty }],

  [
    'a blob',
    `GET /v2/team/app/blobs/${layer.digest}`,
    {},
    200,
    { headers: { ...blobHeaders, 'content-range': null }, body: layer.bytes },
  ],
  ['a blob by HEAD', `HEAD /v2/team/app/blobs/${layer.digest}`, {}, 200, { headers: blobHeaders, body: empty }],
  [
    'a range of a blob',
    `GET /v2/team/app/blobs/${layer.digest}`,
    range('bytes=10-19'),
    206,
    {
      headers: { 'content-range': 'bytes 10-19/3000', 'content-length': '10' },
      body: layer.bytes.subarray(10, 20),
    },
  ],
  [
    'the end of a blob',
    `GET /v2/team/app/blobs/${layer.digest}`,
    range('bytes=-5'),
    206,
    {
      headers: { 'content-range': 'bytes 2995-2999/3000', 'content-length': '5' },
      body: layer.bytes.subarray(2995),
    },
  ],
  [
    'a range past the end',
    `GET /v2/team/app/blobs/${layer.digest}`,
    range('bytes=3000-'),
    416,
    {
      headers: { 'content-range': 'bytes */3000' },
    },
  ],
  [
    'two ranges are answered whole',
    `GET /v2/team/app/blobs/${layer.digest}`,
    range('bytes=0-1,4-5'),
    200,
    { body: layer.bytes },
  ],
  [
    'a range is nothing to HEAD',
    `HEAD /v2/team/app/blobs/${layer.digest}`,
    range('bytes=0-1'),
    200,
    { headers: blobHeaders },
  ],
  [
    'a blob the client has',
    `GET /v2/team/app/blobs/${layer.digest}`,
    ifNoneMatch(`"${layer.digest}"`),
    304,
    {
      headers: { etag: `"${layer.digest}"` },
      body: empty,
    },
  ],
  [
    'a blob the client has another of',
    `GET /v2/team/app/blobs/${layer.digest}`,
    ifNoneMatch(`"${nowhere}"`),
    200,
    { body: layer.bytes },
  ],
  ['a blob that is not there', `GET /v2/team/app/blobs/${nowhere}`, {}, 404, { code: 'BLOB_UNKNOWN' }],
  ['a blob that is not there by HEAD', `HEAD /v2/team/app/blobs/${nowhere}`, {}, 404, { body: empty }],
  ['a blob of another repository', `GET /v2/other/blobs/${layer.digest}`, {}, 404, { code: 'BLOB_UNKNOWN' }],
  ['a manifest is no blob', `GET /v2/team/app/blobs/${image.digest}`, {}, 404, { code: 'BLOB_UNKNOWN' }],
  ['a blob by a malformed digest', 'GET /v2/team/app/blobs/sha256:abc', {}, 400, { code: 'DIGEST_INVALID' }],
  ['a blob by a tag', 'GET /v2/team/app/blobs/latest', {}, 400, { code: 'DIGEST_INVALID' }],

  ['a manifest by tag', 'GET /v2/team/app/manifests/v1', {}, 200, { headers: headersOf(image), body: image.bytes }],
  [
    'a manifest by digest',
    `GET /v2/team/app/manifests/${image.digest}`,
    {},
    200,
    { headers: headersOf(image), body: image.bytes },
  ],
  [
    'a manifest by sha512',
    `GET /v2/team/app/manifests/${in512}`,
    {},
    200,
    {
      headers: { 'docker-content-digest': in512 },
      body: image.bytes,
    },
  ],
  ['a manifest by HEAD', 'HEAD /v2/team/app/manifests/v1', {}, 200, { headers: headersOf(image), body: empty }],
  [
    'a manifest the client has',
    'GET /v2/team/app/manifests/v1',
    ifNoneMatch(`"${nowhere}", W/"${image.digest}"`),
    304,
    {
      headers: { 'docker-content-digest': image.digest },
      body: empty,
    },
  ],
  ['any manifest the client has', 'GET /v2/team/app/manifests/v1', ifNoneMatch('*'), 304, {}],
  ['a manifest the client has, by HEAD', 'HEAD /v2/team/app/manifests/v1', ifNoneMatch(`"${image.digest}"`), 304, {}],
  [
    'a manifest whatever Accept says',
    'GET /v2/team/app/manifests/v1',
    accept('text/html'),
    200,
    { headers: headersOf(image), body: image.bytes },
  ],
  [
    'an index without Accept',
    'GET /v2/team/app/manifests/multi',
    {},
    200,
    { headers: headersOf(index), body: index.bytes },
  ],
  [
    'an index for a client that knows it',
    'GET /v2/team/app/manifests/multi',
    accept(`${ociManifest}, ${ociIndex}`),
    200,
    { headers: headersOf(index) },
  ],
  [
    'an index by tag for docker of old',
    'GET /v2/team/app/manifests/multi',
    accept(`${dockerManifest}, ${ociManifest}`),
    200,
    {
      headers: headersOf(image),
      body: image.bytes,
    },
  ],
  [
    'an index by tag for docker of old, by HEAD',
    'HEAD /v2/team/app/manifests/multi',
    accept(dockerManifest),
    200,
    { headers: headersOf(image) },
  ],
  [
    'an index by digest for docker of old',
    `GET /v2/team/app/manifests/${index.digest}`,
    accept(dockerManifest),
    200,
    {
      headers: headersOf(index),
      body: index.bytes,
    },
  ],
  ['a tag that is not there', 'GET /v2/team/app/manifests/v9', {}, 404, { code: 'MANIFEST_UNKNOWN' }],
  ['a tag that is not there by HEAD', 'HEAD /v2/team/app/manifests/v9', {}, 404, { body: empty }],
  ['a manifest that is not there', `GET /v2/team/app/manifests/${nowhere}`, {}, 404, { code: 'MANIFEST_UNKNOWN' }],
  [
    'a manifest of another repository',
    `GET /v2/other/manifests/${image.digest}`,
    {},
    404,
    { code: 'MANIFEST_UNKNOWN' },
  ],
  ['a manifest of no repository', 'GET /v2/nowhere/manifests/v1', {}, 404, { code: 'MANIFEST_UNKNOWN' }],
  ['a malformed tag', 'GET /v2/team/app/manifests/.v1', {}, 400, { code: 'TAG_INVALID' }],
  ['a malformed digest of a manifest', 'GET /v2/team/app/manifests/sha256:xyz', {}, 400, { code: 'DIGEST_INVALID' }],

  [
    'tags',
    'GET /v2/team/app/tags/list',
    {},
    200,
    { headers: { link: null }, body: { name: 'team/app', tags: ['multi', 'v1', 'v1.0'] } },
  ],
  ['tags by HEAD', 'HEAD /v2/team/app/tags/list', {}, 200, { body: empty }],
  [
    'a page of tags',
    'GET /v2/team/app/tags/list?n=2',
    {},
    200,
    {
      headers: { link: '</v2/team/app/tags/list?n=2&last=v1>; rel="next"' },
      body: { name: 'team/app', tags: ['multi', 'v1'] },
    },
  ],
  [
    'the next page of tags',
    'GET /v2/team/app/tags/list?n=2&last=v1',
    {},
    200,
    {
      headers: { link: null },
      body: { name: 'team/app', tags: ['v1.0'] },
    },
  ],
  ['a page that just fits', 'GET /v2/team/app/tags/list?n=3', {}, 200, { headers: { link: null } }],
  [
    'a page of nothing',
    'GET /v2/team/app/tags/list?n=0',
    {},
    200,
    { headers: { link: null }, body: { name: 'team/app', tags: [] } },
  ],
  ['a page larger than allowed', 'GET /v2/team/app/tags/list?n=5000', {}, 200, { headers: { link: null } }],
  ['a negative page', 'GET /v2/team/app/tags/list?n=-1', {}, 400, { code: 'PAGINATION_NUMBER_INVALID' }],
  ['a page of letters', 'GET /v2/team/app/tags/list?n=ten', {}, 400, { code: 'PAGINATION_NUMBER_INVALID' }],
  ['half a page', 'GET /v2/team/app/tags/list?n=1.5', {}, 400, { code: 'PAGINATION_NUMBER_INVALID' }],
  ['a huge page', `GET /v2/team/app/tags/list?n=${'9'.repeat(400)}`, {}, 400, { code: 'PAGINATION_NUMBER_INVALID' }],
  ['tags after NUL', 'GET /v2/team/app/tags/list?last=a%00', {}, 400, { code: 'BAD_REQUEST' }],
  ['tags after what is no text', 'GET /v2/team/app/tags/list?last=%ff%zz', {}, 200, {}],
  ['tags of no repository', 'GET /v2/nowhere/tags/list', {}, 404, { code: 'NAME_UNKNOWN' }],
  ['tags of a malformed repository', 'GET /v2/No/tags/list', {}, 400, { code: 'NAME_INVALID' }],

  [
    'the catalog',
    'GET /v2/_catalog',
    {},
    200,
    { headers: { link: null }, body: { repositories: ['blobs', 'other', 'team/app'] } },
  ],
  [
    'a page of the catalog',
    'GET /v2/_catalog?n=1&last=blobs',
    {},
    200,
    {
      headers: { link: '</v2/_catalog?n=1&last=other>; rel="next"' },
      body: { repositories: ['other'] },
    },
  ],
  ['a malformed page of the catalog', 'GET /v2/_catalog?n=x', {}, 400, { code: 'PAGINATION_NUMBER_INVALID' }],
  ['the catalog after NUL', 'GET /v2/_catalog?last=%00', {}, 400, { code: 'BAD_REQUEST' }],

  [
    'referrers of nothing',
    `GET /v2/team/app/referrers/${nowhere}`,
    {},
    200,
    {
      headers: { 'content-type': ociIndex, 'oci-filters-applied': null, link: null },
      body: { schemaVersion: 2, mediaType: ociIndex, manifests: [] },
    },
  ],
  [
    'referrers in no repository',
    `GET /v2/nowhere/referrers/${nowhere}`,
    {},
    200,
    {
      body: { schemaVersion: 2, mediaType: ociIndex, manifests: [] },
    },
  ],
  [
    'referrers of one kind',
    `GET /v2/team/app/referrers/${image.digest}?artifactType=a%2Fsig`,
    {},
    200,
    {
      headers: { 'oci-filters-applied': 'artifactType' },
      body: {
        schemaVersion: 2,
        mediaType: ociIndex,
        manifests: [{ ...descriptorOf(signature, ociManifest), artifactType: 'a/sig' }],
      },
    },
  ],
  [
    'referrers of a kind there is none of',
    `GET /v2/team/app/referrers/${image.digest}?artifactType=x`,
    {},
    200,
    {
      headers: { 'oci-filters-applied': 'artifactType' },
      body: { schemaVersion: 2, mediaType: ociIndex, manifests: [] },
    },
  ],
  [
    'referrers of a kind with NUL',
    `GET /v2/team/app/referrers/${image.digest}?artifactType=%00`,
    {},
    400,
    { code: 'BAD_REQUEST' },
  ],
  ['referrers of a malformed digest', 'GET /v2/team/app/referrers/sha256:x', {}, 400, { code: 'DIGEST_INVALID' }],
  ['referrers of a tag', 'GET /v2/team/app/referrers/v1', {}, 400, { code: 'DIGEST_INVALID' }],

  [
    'a repository called like a route',
    'GET /v2/blobs/manifests/list',
    {},
    200,
    { headers: { 'docker-content-digest': arm.digest } },
  ],

  ['an unknown route', 'GET /v2/team/app/things', {}, 404, { code: 'NOT_FOUND' }],
  ['an unknown version', 'GET /v1/_ping', {}, 404, { code: 'NOT_FOUND' }],
  ['a route all in one segment', 'GET /v2/team%2fapp%2fmanifests%2fv1', {}, 404, { code: 'NOT_FOUND' }],
  ['POST to the base', 'POST /v2/', {}, 405, { code: 'UNSUPPORTED', headers: { allow: 'GET, HEAD' } }],
  ['DELETE of the catalog', 'DELETE /v2/_catalog', {}, 405, { code: 'UNSUPPORTED', headers: { allow: 'GET, HEAD' } }],
  ['PUT of a blob', `PUT /v2/team/app/blobs/${layer.digest}`, {}, 405, { headers: { allow: 'GET, HEAD, DELETE' } }],
  ['PATCH of a manifest', 'PATCH /v2/team/app/manifests/v1', {}, 405, { headers: { allow: 'GET, HEAD, PUT, DELETE' } }],
  ['DELETE of the tags', 'DELETE /v2/team/app/tags/list', {}, 405, { headers: { allow: 'GET, HEAD' } }],
  ['GET of the uploads', 'GET /v2/team/app/blobs/uploads/', {}, 405, { headers: { allow: 'POST' } }],
  [
    'POST to an upload',
    'POST /v2/team/app/blobs/uploads/x',
    {},
    405,
    { headers: { allow: 'PATCH, PUT, GET, HEAD, DELETE' } },
  ],
  ['PUT of referrers', `PUT /v2/team/app/referrers/${image.digest}`, {}, 405, { headers: { allow: 'GET, HEAD' } }],
  ['an unknown method', 'PROPFIND /v2/team/app/manifests/v1', {}, 405, { code: 'UNSUPPORTED' }],

  [
    'no sign-in',
    'GET /v2/team/app/manifests/v1',
    { headers: { authorization: '' } },
    401,
    {
      code: 'UNAUTHORIZED',
      headers: {
        'www-authenticate':
          'Bearer realm="http://localhost:5000/oauth2/token",service="contoso.berth.test:5443",scope="repository:team/app:pull"',
      },
    },
  ],
  [
    'no sign-in for a push',
    'POST /v2/team/app/blobs/uploads/',
    { headers: { authorization: '' } },
    401,
    {
      headers: {
        'www-authenticate':
          'Bearer realm="http://localhost:5000/oauth2/token",service="contoso.berth.test:5443",scope="repository:team/app:pull,push"',
      },
    },
  ],
  [
    'a wrong password',
    'GET /v2/',
    { headers: { authorization: 'Basic Q29udG9zbzp3cm9uZw==' } },
    401,
    { code: 'UNAUTHORIZED' },
  ],
  ['a malformed header', 'GET /v2/', { headers: { authorization: 'Nonsense' } }, 401, { code: 'UNAUTHORIZED' }],
  [
    'nobody learns what exists',
    'GET /v2/nowhere/manifests/v1',
    { headers: { authorization: '' } },
    401,
    { code: 'UNAUTHORIZED' },
  ],
];

const put = (manifest: SampleManifest, headers = {}): Ask => ({
  headers: { 'content-type': manifest.mediaType, ...headers },
  body: new Uint8Array(manifest.bytes),
});
const tagged = sampleImage([config, layer], { annotations: { pushed: 'yes' } });
const referring = sampleImage([config], { subject, annotations: { pushed: 'yes' } });
const missing = sampleImage([config, sampleBlob('never pushed')]);
const confused = manifestOf({ ...JSON.parse(String(image.bytes)), manifests: [] });

/** In this order, each on what those before left. */
const changes: readonly Row[] = [
  [
    'a manifest by tag',
    'PUT /v2/team/app/manifests/new',
    put(tagged),
    201,
    {
      headers: {
        location: `/v2/team/app/manifests/${tagged.digest}`,
        'docker-content-digest': tagged.digest,
        'oci-subject': null,
        'oci-tag': null,
      },
      body: empty,
    },
  ],
  [
    'a manifest with parameters in its type',
    'PUT /v2/team/app/manifests/new',
    put(tagged, { 'content-type': `${ociManifest.toUpperCase()}; charset=utf-8` }),
    201,
    {},
  ],
  ['a manifest without a type', 'PUT /v2/team/app/manifests/new', put(tagged, { 'content-type': '' }), 201, {}],
  ['a manifest by digest', `PUT /v2/team/app/manifests/${tagged.digest}`, put(tagged), 201, {}],
  [
    'a manifest by digest with tags',
    `PUT /v2/team/app/manifests/${tagged.digest}?tag=a&tag=b`,
    put(tagged),
    201,
    {
      headers: { 'oci-tag': 'a, b', 'docker-content-digest': tagged.digest },
    },
  ],
  ['the tags it set', 'GET /v2/team/app/manifests/b', {}, 200, { body: tagged.bytes }],
  [
    'a manifest by tag ignores more tags',
    'PUT /v2/team/app/manifests/new?tag=c',
    put(tagged),
    201,
    { headers: { 'oci-tag': null } },
  ],
  ['which were not set', 'GET /v2/team/app/manifests/c', {}, 404, {}],
  [
    'a malformed tag among them',
    `PUT /v2/team/app/manifests/${tagged.digest}?tag=a&tag=.b`,
    put(tagged),
    400,
    { code: 'TAG_INVALID' },
  ],
  [
    'too many tags',
    `PUT /v2/team/app/manifests/${tagged.digest}?${'tag=a&'.repeat(101)}`,
    put(tagged),
    400,
    { code: 'BAD_REQUEST' },
  ],
  [
    'a manifest with a subject',
    `PUT /v2/team/app/manifests/${referring.digest}`,
    put(referring),
    201,
    { headers: { 'oci-subject': image.digest } },
  ],
  [
    'a manifest by another digest',
    `PUT /v2/team/app/manifests/${nowhere}`,
    put(tagged),
    400,
    { code: 'DIGEST_INVALID' },
  ],
  [
    'a manifest by a malformed digest',
    'PUT /v2/team/app/manifests/sha256:x',
    put(tagged),
    400,
    { code: 'DIGEST_INVALID' },
  ],
  ['a manifest by a malformed tag', 'PUT /v2/team/app/manifests/-x', put(tagged), 400, { code: 'TAG_INVALID' }],
  ['a manifest in a malformed repository', 'PUT /v2/Team/app/manifests/x', put(tagged), 400, { code: 'NAME_INVALID' }],
  [
    'a manifest that misses a blob',
    'PUT /v2/team/app/manifests/x',
    put(missing),
    400,
    { code: 'MANIFEST_BLOB_UNKNOWN' },
  ],
  [
    'a manifest whose blobs are elsewhere',
    'PUT /v2/elsewhere/manifests/x',
    put(image),
    400,
    { code: 'MANIFEST_BLOB_UNKNOWN' },
  ],
  [
    'an index that misses a child',
    'PUT /v2/other/manifests/x',
    put(sampleIndex([image])),
    400,
    { code: 'MANIFEST_BLOB_UNKNOWN' },
  ],
  ['a confusing manifest', 'PUT /v2/team/app/manifests/x', put(confused), 400, { code: 'MANIFEST_INVALID' }],
  [
    'a manifest of another type than it says',
    'PUT /v2/team/app/manifests/x',
    put(image, { 'content-type': ociIndex }),
    400,
    { code: 'MANIFEST_INVALID' },
  ],
  ['no manifest', 'PUT /v2/team/app/manifests/x', {}, 400, { code: 'MANIFEST_INVALID' }],
  [
    'a manifest of schema 1',
    'PUT /v2/team/app/manifests/x',
    { headers: { 'content-type': dockerSchema1Signed }, body: '{"schemaVersion":1}' },
    400,
    { code: 'MANIFEST_INVALID' },
  ],
  [
    'a manifest that is too large',
    'PUT /v2/team/app/manifests/x',
    { body: ' '.repeat(4 * 1024 * 1024 + 1) },
    413,
    { code: 'MANIFEST_INVALID' },
  ],

  ['a child of an index is kept', `DELETE /v2/team/app/manifests/${arm.digest}`, {}, 405, { code: 'DENIED' }],
  ['a blob of an image is kept', `DELETE /v2/team/app/blobs/${layer.digest}`, {}, 405, { code: 'DENIED' }],
  ['a tag', 'DELETE /v2/team/app/manifests/a', {}, 202, { body: empty }],
  ['a tag twice', 'DELETE /v2/team/app/manifests/a', {}, 404, { code: 'MANIFEST_UNKNOWN' }],
  ['a malformed tag to delete', 'DELETE /v2/team/app/manifests/.a', {}, 400, { code: 'TAG_INVALID' }],
  [
    'a manifest with its tags',
    `DELETE /v2/team/app/manifests/${tagged.digest}`,
    {},
    202,
    { headers: { 'docker-content-digest': tagged.digest } },
  ],
  ['its tag is gone too', 'GET /v2/team/app/manifests/b', {}, 404, {}],
  ['a manifest twice', `DELETE /v2/team/app/manifests/${tagged.digest}`, {}, 404, { code: 'MANIFEST_UNKNOWN' }],
  [
    'a blob nothing names',
    `DELETE /v2/other/blobs/${sampleBlob('loose').digest}`,
    {},
    202,
    {
      headers: { 'docker-content-digest': sampleBlob('loose').digest },
      body: empty,
    },
  ],
  ['a blob twice', `DELETE /v2/other/blobs/${sampleBlob('loose').digest}`, {}, 404, { code: 'BLOB_UNKNOWN' }],
  ['a blob by a malformed digest to delete', 'DELETE /v2/other/blobs/x', {}, 400, { code: 'DIGEST_INVALID' }],
];

forEachDatabase((_, open) => {
  let registry: RegistryApp;

  const check = async ([, ask, with_, status, { code, headers = {}, body }]: Row) => {
    const [method = '', path = ''] = ask.split(' ');
    const answer = await registry.ask(path, { method, ...with_ });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const text = bytes.toString('latin1').slice(0, 500);
    assert.equal(answer.status, status, text);
    assert.match(answer.headers.get('x-ms-correlation-request-id') ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    for (const [name, value] of Object.entries(headers)) assert.equal(answer.headers.get(name), value, name);
    if (status >= 400 && status !== 416 && method !== 'HEAD') {
      const [error] = errorListSchema.parse(JSON.parse(String(bytes))).errors;
      if (code !== undefined) assert.equal(error?.code, code, text);
    }
    if (body instanceof Uint8Array) assert(bytes.equals(body), text);
    else if (body !== undefined) assert.deepEqual(JSON.parse(String(bytes)), body);
  };

  before(async () => {
    registry = await registryApp(await open());
    const me = fullAuthority();
    const { uploads, manifests } = registry.content;
    const placeOf = (name: string) => ({ registryUid: registry.registryUid, repository: parseRepositoryName(name) });
    const push = async (
      name: string,
      blobs: readonly (typeof config)[],
      images: readonly [SampleManifest, ...string[]][],
    ) => {
      for (const { digest, bytes } of blobs) await uploads.push(placeOf(name), me, digest, bodyOf(bytes));
      for (const [{ bytes: body, digest, mediaType: contentType }, ...tags] of images) {
        const reference = { kind: 'digest', digest } as const;
        await manifests.push(placeOf(name), me, { body, contentType, reference, tags: tags.map(parseTag) });
      }
    };
    await push('team/app', [config, layer], [[image, 'v1', 'v1.0'], [arm], [index, 'multi'], [signature], [sbom]]);
    await push('other', [config, sampleBlob('loose')], [[arm]]);
    await push('blobs', [config], [[arm, 'list']]);
    await push('only/blobs', [config], []);
    await manifests.push(placeOf('team/app'), me, {
      body: image.bytes,
      contentType: image.mediaType,
      reference: parseReference(in512),
      tags: [],
    });
  });
  after(() => registry.close());

  for (const row of reads) test(`asked for ${row[0]}: ${row[3]}`, () => check(row));

  test('all referrers of a subject, in pages', async () => {
    const seen: object[] = [];
    let path: string | undefined = `/v2/team/app/referrers/${image.digest}?n=1`;
    while (path !== undefined) {
      const answer = await registry.ask(path);
      const { manifests } = referrerListSchema.parse(await answer.json());
      assert.equal(manifests.length, 1);
      seen.push(...manifests);
      path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    const expected = [
      { ...descriptorOf(signature, ociManifest), artifactType: 'a/sig' },
      { ...descriptorOf(sbom, ociManifest), artifactType: 'a/sbom', annotations: { tool: 'x' } },
    ];
    assert.deepEqual(
      seen,
      expected.sort((a, b) => (a.digest < b.digest ? -1 : 1)),
    );
  });

  test('a link keeps the filter', async () => {
    const { headers } = await registry.ask(`/v2/team/app/referrers/${image.digest}?n=0&artifactType=a%2Fsig`);
    assert.equal(headers.get('oci-filters-applied'), 'artifactType');
  });

  test('a correlation id is echoed when it is a GUID', async () => {
    const id = '11111111-2222-3333-4444-555555555555';
    const echoed = await registry.ask('/v2/', { headers: { 'x-ms-correlation-request-id': id } });
    assert.equal(echoed.headers.get('x-ms-correlation-request-id'), id);
    const replaced = await registry.ask('/v2/', { headers: { 'x-ms-correlation-request-id': 'x"y' } });
    assert.notEqual(replaced.headers.get('x-ms-correlation-request-id'), 'x"y');
  });

  test('another registry on another host knows nothing of it', async () => {
    const ask = (path: string, authorization = registry.otherAdmin) =>
      registry.ask(path, { headers: { host: otherHost, authorization } });
    assert.equal((await ask('/v2/')).status, 200);
    assert.equal((await ask('/v2/', registry.admin)).status, 401);
    assert.equal((await ask('/v2/team/app/manifests/v1')).status, 404);
    assert.equal((await ask(`/v2/team/app/blobs/${layer.digest}`)).status, 404);
    assert.deepEqual(await (await ask('/v2/_catalog')).json(), { repositories: [] });
  });

  test('a host of nobody is misdirected', async () => {
    const answer = await registry.ask('/v2/', { headers: { host: 'nobody.berth.test' } });
    assert.equal(answer.status, 421);
  });

  test('a token holds what it names and nothing else', async () => {
    const pull = await registry.tokenFor({ type: 'repository', name: 'team/app', actions: ['pull'] });
    const ask = (method: string, path: string) => registry.ask(path, { method, headers: { authorization: pull } });
    assert.equal((await ask('GET', '/v2/')).status, 200);
    assert.equal((await ask('GET', '/v2/team/app/manifests/v1')).status, 200);
    assert.equal((await ask('GET', `/v2/team/app/blobs/${layer.digest}`)).status, 200);
    assert.equal((await ask('GET', '/v2/team/app/tags/list')).status, 200);
    const refused = [
      ['GET', '/v2/other/manifests/v1', 'repository:other:pull'],
      ['GET', '/v2/_catalog', 'registry:catalog:*'],
      ['POST', '/v2/team/app/blobs/uploads/', 'repository:team/app:pull,push'],
      ['PUT', '/v2/team/app/manifests/v1', 'repository:team/app:pull,push'],
      ['DELETE', '/v2/team/app/manifests/v1', 'repository:team/app:delete'],
      ['DELETE', `/v2/team/app/blobs/${layer.digest}`, 'repository:team/app:delete'],
    ] as const;
    for (const [method, path, scope] of refused) {
      const answer = await ask(method, path);
      assert.equal(answer.status, 401);
      const challenge = answer.headers.get('www-authenticate') ?? '';
      assert(challenge.endsWith(`,scope="${scope}",error="insufficient_scope"`), challenge);
    }
  });

  test('pulls are in the access log; HEAD and what was not modified are not', async () => {
    await registry.ask('/v2/blobs/manifests/list', { headers: { 'user-agent': 'tester/1' } });
    await registry.ask('/v2/blobs/manifests/list', { method: 'HEAD' });
    await registry.ask('/v2/blobs/manifests/list', ifNoneMatch('*'));
    await registry.flush();
    const lines = (await registry.access.accessLines()).filter(
      (line) => line.repository === 'blobs' && line.kind === 'pull',
    );
    const mine = lines.filter((line) => line.userAgent === 'tester/1');
    assert.equal(mine.length, 1);
    assert.partialDeepStrictEqual(mine[0], {
      tag: 'list',
      digest: arm.digest,
      status: 200,
      registryUid: registry.registryUid,
      principalKind: 'registryAdmin',
    });
    assert.equal(lines.length, 2, 'with the one of the table above');
  });

  for (const row of changes) test(`changed: ${row[0]}: ${row[3]}`, () => check(row));
});
