import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skus } from '../registries/registry.ts';
import { parseStorageLimit } from './storage-limit.ts';

const gib = 1024 ** 3;

for (const { sku, included, largest } of [
  { sku: 'Basic', included: 10 * gib, largest: 40 * 1024 * gib },
  { sku: 'Standard', included: 100 * gib, largest: 40 * 1024 * gib },
  { sku: 'Premium', included: 500 * gib, largest: 100 * 1024 * gib },
] as const)
  test(`a ${sku} registry may have in use what is included, as much as ACR lets it, or a size`, () => {
    const parse = parseStorageLimit(sku);
    assert.deepEqual(['included', 'largest', '2TiB', '1B'].map(parse), [included, largest, 2 * 1024 * gib, 1]);
  });

for (const text of ['', 'Included', 'unlimited', '10', '10GB', '-1GiB'])
  test(`'${text}' is no storage limit`, () => {
    for (const sku of skus) assert.throws(() => parseStorageLimit(sku)(text), /included, largest, or a whole number/);
  });
