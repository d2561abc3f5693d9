import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mediaTypes } from '../../core/media-types.ts';
import { wantsPlatformImage } from './accept.ts';

const { ociManifest, ociIndex, dockerManifest, dockerList, dockerSchema1, dockerSchema1Signed } = mediaTypes;

const cases: readonly [what: string, accept: string | undefined, stored: string, expected: boolean][] = [
  ['docker before indexes', `${dockerSchema1Signed}, ${dockerManifest}`, dockerList, true],
  ['docker before indexes, with weights', `${dockerManifest};q=0.9, ${dockerSchema1};q=0.1`, ociIndex, true],
  ['a client that knows OCI images only', ociManifest, ociIndex, true],
  ['a client that knows one kind of index', `${dockerManifest},${dockerList}`, ociIndex, false],
  ['docker today', [ociIndex, dockerList, ociManifest, dockerManifest].join(', '), dockerList, false],
  ['a client that takes anything', `${dockerManifest}, */*`, dockerList, false],
  ['a client that takes any application type', `${dockerManifest}, application/*`, dockerList, false],
  ['a client that says nothing', undefined, dockerList, false],
  ['a client that asks for other things', 'application/json', dockerList, false],
  ['an image is stored', dockerManifest, ociManifest, false],
  ['an empty header', '', dockerList, false],
];

for (const [what, accept, stored, expected] of cases) {
  test(`the image of one platform ${expected ? 'goes' : 'does not go'} out: ${what}`, () => {
    assert.equal(wantsPlatformImage(accept, stored), expected);
  });
}
