import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RegistryTotals } from './registry-totals.ts';

const named = (...names: string[]) => names.map((name) => ({ uid: `uid-${name}`, name }));
const pulls = (totals: RegistryTotals, ...names: string[]) =>
  totals.tell(named(...names)).map(({ name, total }) => `${name} ${total('TotalPullCount')}`);
const pull = (totals: RegistryTotals, name: string) => totals.add(`uid-${name}`, 'TotalPullCount', 1);

test('each registry is told by its name while they are few', () => {
  const totals = new RegistryTotals(2);
  pull(totals, 'a');
  assert.deepEqual(pulls(totals, 'a', 'b'), ['a 1', 'b 0']);
});

test('more than so many are told together, and what was added up stays so', () => {
  const totals = new RegistryTotals(2);
  for (const name of ['a', 'b', 'c', 'd', 'c']) pull(totals, name);
  assert.deepEqual(pulls(totals, 'a', 'b', 'c', 'd'), ['a 1', 'b 1', '_others 3']);
  pull(totals, 'd');
  assert.deepEqual(pulls(totals, 'b', 'c', 'd'), ['b 1', 'c 0', '_others 4']);
  pull(totals, 'c');
  assert.deepEqual(pulls(totals, 'b', 'c', 'd', 'e'), ['b 1', 'c 1', '_others 4']);
});

test('processes that began at different times tell the same registries by name', () => {
  const totals = new RegistryTotals(2);
  for (const name of ['a', 'b', 'c', 'd']) pull(totals, name);
  pulls(totals, 'a', 'b', 'c', 'd');
  const names = (each: RegistryTotals) => each.tell(named('b', 'c', 'd')).map(({ name, uids }) => [name, ...uids]);
  assert.deepEqual(names(totals), names(new RegistryTotals(2)));
});

test('what is added up does not become less when registries are deleted', () => {
  const totals = new RegistryTotals(1);
  for (const name of ['a', 'b', 'c']) pull(totals, name);
  assert.deepEqual(pulls(totals, 'a', 'b', 'c'), ['a 1', '_others 2']);
  assert.deepEqual(pulls(totals, 'a'), ['a 1', '_others 2']);
  assert.deepEqual(totals.tell(named('a')).at(-1)?.uids, []);
});

test('what a registry was used for goes with it, also when it was told by name', () => {
  const totals = new RegistryTotals(1);
  pull(totals, 'a');
  assert.deepEqual(pulls(totals, 'a'), ['a 1']);
  assert.deepEqual(pulls(totals), []);
  assert.deepEqual(pulls(totals, 'a'), ['a 0']);
});
