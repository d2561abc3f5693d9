import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseApiVersion } from './api-version.ts';
import { isArmPath, segmentsOf } from './arm-path.ts';

test('the resource manager has its paths, and no others', () => {
  for (const path of ['/subscriptions', '/Subscriptions/x', '/tenants', '/providers/', '//subscriptions']) {
    assert(isArmPath(path), path);
  }
  for (const path of ['/', '/v2/subscriptions/x', '/subscriptionsx', '/admin/tenants', '/metadata/endpoints']) {
    assert(!isArmPath(path), path);
  }
});

test('segments are decoded once', () => {
  assert.deepEqual(segmentsOf('/subscriptions/s//resourceGroups/a%20(b)/'), [
    'subscriptions',
    's',
    'resourceGroups',
    'a (b)',
  ]);
});

const hostile = [
  '..',
  '.',
  '%2e%2e',
  '%252e',
  'a%2fb',
  'a%5cb',
  '%00',
  '%0d%0a',
  'ü',
  '%ff',
  'a%',
  '<x>',
  'x'.repeat(261),
];
for (const segment of hostile) {
  test(`no id holds ${segment.slice(0, 20)}`, () =>
    assert.throws(() => segmentsOf(`/subscriptions/${segment}`), { error: 'requestInvalid' }));
}

test('an address has an end', () => {
  assert.throws(() => segmentsOf('/a'.repeat(41)), { error: 'requestInvalid' });
});

test('any well-formed api-version is good', () => {
  for (const text of ['2021-04-01', '2022-02-01-preview', '2031-12-31', '2017-06-01-PREVIEW']) parseApiVersion(text);
  for (const text of ['', undefined]) assert.throws(() => parseApiVersion(text), { error: 'apiVersionMissing' });
  for (const text of ['2021-13-01', '2021-04', 'latest', '2021-04-01-', '2021-04-01 ', "2021-04-01'--"]) {
    assert.throws(() => parseApiVersion(text), { error: 'apiVersionInvalid' }, text);
  }
});
