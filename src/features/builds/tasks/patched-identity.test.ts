import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JsonObject, mergeJson } from '../../../wire/arm/json.ts';
import { patchedIdentity } from './patched-identity.ts';

const both = { type: 'SystemAssigned, UserAssigned', principalId: 'p', userAssignedIdentities: { '/A': {}, '/B': {} } };
const cases: readonly [what: string, before: JsonObject, patch: JsonObject, type: string][] = [
  [
    'one of two',
    both,
    { type: 'UserAssigned', userAssignedIdentities: { '/A': null } },
    'SystemAssigned, UserAssigned',
  ],
  ['both', both, { type: 'UserAssigned', userAssignedIdentities: { '/A': null, '/B': null } }, 'SystemAssigned'],
  [
    'the last',
    { type: 'UserAssigned', userAssignedIdentities: { '/A': {} } },
    { type: 'UserAssigned', userAssignedIdentities: { '/A': null } },
    'None',
  ],
  ['its own', both, { type: 'UserAssigned', userAssignedIdentities: { '/A': {}, '/B': {} } }, 'UserAssigned'],
  ['all', both, { type: 'None' }, 'None'],
];

for (const [what, before, patch, type] of cases)
  test(`a task from which ${what} is taken away is ${type}`, () => {
    assert.equal(patchedIdentity(mergeJson(before, patch), before)?.type, type);
  });

test('what is assigned or left alone stays as it is asked for', () => {
  const more = { type: 'UserAssigned', userAssignedIdentities: { '/C': {} } };
  assert.equal(patchedIdentity(mergeJson(both, more), both)?.type, 'UserAssigned');
  assert.equal(patchedIdentity(both, both), both);
  assert.equal(patchedIdentity(undefined, undefined), undefined);
});
