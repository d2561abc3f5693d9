import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mediaTypes } from '../../core/media-types.ts';
import { danglingManifests } from './dangling-manifests.ts';

const manifest = (digest: string, mediaType: string, tags: readonly string[], children: readonly string[] = []) => {
  return { digest, mediaType, tags, references: children.map((child) => ({ digest: child })) };
};
const { ociIndex, ociManifest, dockerManifest } = mediaTypes;

test('what no tag holds, also through indexes, is found; images of OCI are left out', () => {
  const manifests = [
    manifest('list', ociIndex, ['v1'], ['inner', 'one']),
    manifest('inner', ociIndex, [], ['two', 'inner']),
    ...['one', 'two', 'three'].map((digest) => manifest(digest, dockerManifest, [])),
    manifest('loose', ociIndex, [], ['four']),
    manifest('four', dockerManifest, []),
    manifest('signature', ociManifest, []),
    manifest('tagged', dockerManifest, ['v2']),
  ];
  const found = danglingManifests(manifests).map(({ digest }) => digest);
  assert.deepEqual(found, ['three', 'loose', 'four']);
});
