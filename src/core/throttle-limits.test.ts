import assert from 'node:assert/strict';
import { test } from 'node:test';
import { strangersLimits, throttleTables } from './throttle-limits.ts';

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

test('strangers alone are held to the figures of one identity', () => {
  assert.equal(wordsOf(strangersLimits(throttleTables.current.Basic).read), 'read/identity 5000');
  assert.equal(wordsOf(strangersLimits(throttleTables.older.Basic).read), 'read/identity 1000');
  assert.deepEqual(strangersLimits(throttleTables.current.Basic).oauth, []);
});

function wordsOf(limits: readonly { readonly bucket: string; readonly of: string; readonly perMinute: number }[]) {
  return limits.map(({ bucket, of, perMinute }) => `${bucket}/${of} ${perMinute}`).join(', ');
}
