import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onlyStrangersLimits, strangersLimits, throttleTables } from './throttle-limits.ts';

/** SKU, class, and the buckets in words. Source: ACR semantics, "Request rate limits". */
const rows = [
  ['Basic', 'read', 'read/identity 5000, read/registry 10000'],
  ['Standard', 'write', 'write/identity 1000, write/registry 2000'],
  ['Basic', 'delete', 'delete/identity 500, delete/registry 1000'],
  ['Basic', 'referrers', 'referrers/identity 250, referrers/registry 500, read/identity 5000, read/registry 10000'],
  ['Standard', 'oauth', 'oauth/registry 10000'],
  ['Premium', 'read', 'read/identity 10000, read/registry 20000'],
  ['Premium', 'write', 'write/identity 2000, write/registry 4000'],
  ['Premium', 'delete', 'delete/identity 2000, delete/registry 4000'],
  [
    'Premium',
    'referrers',
    'referrers/identity 1000, referrers/registry 2000, read/identity 10000, read/registry 20000',
  ],
  ['Premium', 'oauth', 'oauth/registry 20000'],
] as const;

for (const [sku, requestClass, expected] of rows) {
  test(`${sku}: ${requestClass}`, () => {
    assert.equal(wordsOf(throttleTables.current[sku][requestClass]), expected);
  });
}

test('the older table counts reads and writes of a registry, and deletions as writes', () => {
  const { Basic, Standard, Premium } = throttleTables.older;
  assert.equal(wordsOf(Basic.referrers), 'read/registry 1000');
  assert.equal(wordsOf(Standard.delete), 'write/registry 500');
  assert.equal(wordsOf([...Premium.read, ...Premium.write]), 'read/registry 10000, write/registry 2000');
  assert.deepEqual(Basic.oauth, []);
});

test('strangers alone are held to the figures of one identity, and each address of theirs to a tenth', () => {
  const { current, older } = throttleTables;
  assert.equal(wordsOf(onlyStrangersLimits(current.Basic).read), 'read/address 500, read/identity 5000');
  assert.equal(wordsOf(onlyStrangersLimits(older.Basic).read), 'read/address 100, read/identity 1000');
  assert.deepEqual(onlyStrangersLimits(current.Basic).oauth, []);
});

test('an address of strangers has a tenth of what they share, and of what the registry has where it alone counts', () => {
  const { current, older } = throttleTables;
  const ofBasic = strangersLimits(current.Basic);
  assert.equal(wordsOf(ofBasic.read), 'read/address 500, read/identity 5000, read/registry 10000');
  assert.equal(
    wordsOf(ofBasic.referrers),
    `referrers/address 25, read/address 500, ${wordsOf(current.Basic.referrers)}`,
  );
  assert.equal(wordsOf(ofBasic.oauth), 'oauth/address 1000, oauth/registry 10000');
  assert.equal(wordsOf(strangersLimits(older.Standard).write), 'write/address 50, write/registry 500');
});

function wordsOf(limits: readonly { readonly bucket: string; readonly of: string; readonly perMinute: number }[]) {
  return limits.map(({ bucket, of, perMinute }) => `${bucket}/${of} ${perMinute}`).join(', ');
}
