import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemIds } from '../system-ids.ts';
import { parseMasterKeys } from './master-keys.ts';
import { createSealer, SealError } from './sealer.ts';

const keyText = (fill: number) => Buffer.alloc(32, fill).toString('base64');
const sealer = createSealer(parseMasterKeys(keyText(1)), systemIds);

test('a sealed value opens for its purpose, does not show its text, and never looks the same twice', () => {
  const sealed = sealer.sealText('secret/1', 'hunter2 ü');
  assert.equal(sealer.openText('secret/1', sealed), 'hunter2 ü');
  assert.equal(Buffer.from(sealed).includes('hunter2'), false);
  assert.notDeepEqual(sealer.sealText('secret/1', 'hunter2 ü'), sealed);
  assert.deepEqual(sealer.open('empty', sealer.seal('empty', new Uint8Array())), Buffer.alloc(0));
});

test('a value does not open for another purpose, nor with any byte changed or missing', () => {
  const sealed = sealer.sealText('secret/1', 'hunter2');
  assert.throws(() => sealer.open('secret/2', sealed), SealError);
  for (let index = 0; index < sealed.length; index += 1) {
    const changed = Uint8Array.from(sealed, (byte, at) => (at === index ? byte ^ 1 : byte));
    assert.throws(() => sealer.open('secret/1', changed), SealError);
    assert.throws(() => sealer.open('secret/1', sealed.subarray(0, index)), SealError);
  }
});

test('after a change of the master key old values open, new ones use the new key, and the old key can go', () => {
  const old = sealer.sealText('p', 'text');
  const rotated = createSealer(parseMasterKeys(`${keyText(2)} ${keyText(1)}`), systemIds);
  assert.equal(rotated.openText('p', old), 'text');
  assert.equal(rotated.isCurrent(old), false);
  const fresh = rotated.sealText('p', 'text');
  assert.equal(rotated.isCurrent(fresh), true);
  const last = createSealer(parseMasterKeys(keyText(2)), systemIds);
  assert.equal(last.openText('p', fresh), 'text');
  assert.throws(() => last.open('p', old), /does not have/);
});
