import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogSchema, errorListSchema, referrerListSchema, tagListSchema } from './lists.ts';

const mediaType = 'application/vnd.oci.image.index.v1+json';
const descriptor = { mediaType: 'a/b', digest: `sha256:${'a'.repeat(64)}`, size: 0 };

const good = [
  [tagListSchema, { name: 'app', tags: [] }],
  [catalogSchema, { repositories: ['a', 'b/c'] }],
  [referrerListSchema, { schemaVersion: 2, mediaType, manifests: [] }],
  [
    referrerListSchema,
    { schemaVersion: 2, mediaType, manifests: [{ ...descriptor, artifactType: 'x', annotations: { a: 'b' } }] },
  ],
  [errorListSchema, { errors: [{ code: 'DENIED', message: 'no' }] }],
  [errorListSchema, { errors: [{ code: 'DENIED', message: 'no', detail: [{ Type: 'repository' }] }] }],
] as const;

for (const [schema, message] of good) {
  test(`${JSON.stringify(message).slice(0, 60)} is read as written`, () => {
    assert.deepEqual(schema.parse(message), message);
  });
}

const bad = [
  ['tags that are null', tagListSchema, { name: 'app', tags: null }],
  ['tags without a name', tagListSchema, { tags: [] }],
  ['repositories that are no texts', catalogSchema, { repositories: [1] }],
  ['referrers of another version', referrerListSchema, { schemaVersion: 1, mediaType, manifests: [] }],
  ['referrers that are null', referrerListSchema, { schemaVersion: 2, mediaType, manifests: null }],
  ['a negative size', referrerListSchema, { schemaVersion: 2, mediaType, manifests: [{ ...descriptor, size: -1 }] }],
  ['an error without a code', errorListSchema, { errors: [{ message: 'no' }] }],
] as const;

for (const [why, schema, message] of bad) {
  test(`refused: ${why}`, () => assert.equal(schema.safeParse(message).success, false));
}
