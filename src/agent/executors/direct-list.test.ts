import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directList } from './direct-list.ts';

test('each name is there once, and very many still make one word of a program', () => {
  assert.equal(directList(['localhost', 'db', '10.88.0.0/16', 'db']), 'localhost,db,10.88.0.0/16');
  const names = Array.from({ length: 2_000 }, (_, number) => `${'n'.repeat(90)}${number}`);
  const list = directList(names);
  assert.ok(list.length > 60_000 && list.length < 128 * 1024);
  assert.deepEqual(list.split(','), names.slice(0, list.split(',').length));
});
