import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStoreAddress } from './store-address.ts';

test('a folder, a bucket and a container', () => {
  assert.deepEqual(parseStoreAddress('/srv/blobs'), { kind: 'folder', folder: '/srv/blobs' });
  assert.deepEqual(parseStoreAddress('s3://images/one/two/?region=eu-west-1&sse=aws:kms&kms-key=k'), {
    kind: 's3',
    bucket: 'images',
    prefix: 'one/two/',
    region: 'eu-west-1',
    endpoint: undefined,
    isPathStyle: false,
    encryption: { algorithm: 'aws:kms', kmsKeyId: 'k' },
  });
  assert.partialDeepStrictEqual(parseStoreAddress('s3://images?endpoint=http://10.0.0.5:9000/'), {
    prefix: '',
    endpoint: 'http://10.0.0.5:9000',
    isPathStyle: true,
    encryption: undefined,
  });
  assert.deepEqual(parseStoreAddress('azure://account1/images/berth'), {
    kind: 'azure',
    account: 'account1',
    container: 'images',
    prefix: 'berth/',
    endpoint: 'https://account1.blob.core.windows.net',
    identity: undefined,
  });
  assert.partialDeepStrictEqual(
    parseStoreAddress('azure://account1/images?identity=f0000000-0000-4000-8000-00000000000f'),
    { prefix: '', identity: 'f0000000-0000-4000-8000-00000000000f' },
  );
});

for (const [label, text] of [
  ['nothing', ''],
  ['another service', 'gs://bucket'],
  ['a bucket that is none', 's3://B_'],
  ['an unknown option', 's3://bucket?acl=public'],
  ['an unknown encryption', 's3://bucket?sse=rot13'],
  ['a key without its encryption', 's3://bucket?kms-key=k'],
  ['a password', 's3://key:secret@bucket'],
  ['an endpoint that is none', 's3://bucket?endpoint=ftp://host'],
  ['a prefix with an escape', 's3://bucket/a%2fb'],
  ['no container', 'azure://account1'],
  ['an identity by its name', 'azure://account1/images?identity=builder'],
] as const) {
  test(`refused: ${label}`, () => assert.throws(() => parseStoreAddress(text), RangeError));
}
