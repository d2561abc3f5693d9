import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemIds } from '../../platform/system-ids.ts';
import { objectIdOf, uidOfObjectId } from './object-id.ts';

test('a uid and its object id stand for the same bits', () => {
  assert.equal(objectIdOf('a'.repeat(26)), '00000000-0000-0000-0000-000000000000');
  assert.equal(objectIdOf(`${'7'.repeat(25)}4`), 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  for (let count = 0; count < 100; count += 1) {
    const uid = systemIds.uid();
    assert.equal(uidOfObjectId(objectIdOf(uid)), uid);
    assert.equal(uidOfObjectId(objectIdOf(uid).toUpperCase()), uid);
    const guid = systemIds.guid();
    assert.equal(objectIdOf(uidOfObjectId(guid) ?? assert.fail()), guid);
  }
});

test('what is no uid or no GUID is refused', () => {
  for (const text of ['', 'a'.repeat(25), 'a'.repeat(27), `${'a'.repeat(25)}b`, 'A'.repeat(26), '1'.repeat(26)])
    assert.throws(() => objectIdOf(text), RangeError, text);
  for (const text of ['', 'x', `${systemIds.guid()}0`, systemIds.guid().replaceAll('-', ''), 'installation'])
    assert.equal(uidOfObjectId(text), undefined, text);
});
