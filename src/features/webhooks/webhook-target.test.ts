import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { openTarget, sealedBytes, sealProperties } from './webhook-target.ts';

const parts = { ids, sealer: createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids) };
const customHeaders = { Authorization: 'Bearer secret' };
const stored = sealProperties(parts, 'w', { serviceUri: 'https://ci.example.com/hook', customHeaders }, undefined);
const before = openTarget(parts, 'w', sealedBytes(stored));

function patched(change: JsonObject) {
  const properties = sealProperties(parts, 'w', { ...stored, ...change }, stored);
  return openTarget(parts, 'w', sealedBytes(properties));
}

test('another address on the same host keeps headers and signing key', () => {
  const serviceUri = 'https://ci.example.com:443/other?a=b';
  assert.deepEqual(patched({ serviceUri }), { ...before, serviceUri });
  assert.deepEqual(patched({}), before);
});

test('another host gets neither the headers nor what was signed with the same key, and the request has to say so', () => {
  for (const serviceUri of [
    'https://elsewhere.example.com/hook',
    'https://ci.example.com:8443/hook',
    'http://ci.example.com/hook',
  ]) {
    assert.throws(() => patched({ serviceUri }), /custom headers|not valid/);
    const after = patched({ serviceUri, customHeaders: {} });
    assert.deepEqual([after.serviceUri, after.customHeaders], [serviceUri, {}]);
    assert.notEqual(after.signingKey, before.signingKey);
  }
  const given = { serviceUri: 'https://elsewhere.example.com/hook', customHeaders: { 'X-Key': 'k' } };
  assert.deepEqual(patched(given).customHeaders, given.customHeaders);
});
