import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentHides } from './recent-hides.ts';

const hide = (bytes: Uint8Array) => bytes;
const version = '';
const keptOf = (hides: RecentHides, leases: readonly string[]) =>
  leases.filter((lease) => hides.get(lease) !== undefined).join('');

test('many runs with few secrets are kept together', () => {
  const hides = new RecentHides({ letters: 100, count: 50 });
  const leases = Array.from({ length: 50 }, (_each, at) => `${at}`);
  for (const lease of leases) hides.keep(lease, { hide, version, letters: 2 });
  assert.equal(keptOf(hides, leases), leases.join(''));
  hides.keep('one more', { hide, version, letters: 0 });
  assert.equal(hides.get('0'), undefined);
  assert.equal(hides.get('1')?.hide, hide);
});

test('of those with many letters the ones that were asked last are kept, and the newest whatever it knows', () => {
  const hides = new RecentHides({ letters: 100, count: 50 });
  for (const lease of ['a', 'b', 'c']) hides.keep(lease, { hide, version, letters: 30 });
  hides.get('a');
  hides.keep('d', { hide, version, letters: 40 });
  assert.equal(keptOf(hides, ['a', 'b', 'c', 'd']), 'acd');
  hides.delete('c');
  hides.delete('c');
  hides.keep('e', { hide, version, letters: 30 });
  assert.equal(keptOf(hides, ['a', 'd', 'e']), 'ade');
  hides.keep('f', { hide, version, letters: 1_000 });
  assert.equal(keptOf(hides, ['a', 'd', 'e', 'f']), 'f');
});
