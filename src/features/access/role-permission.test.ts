import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { builtInRoles } from './role-built-ins.ts';
import { matchesOperation, type Permission, permits } from './role-permission.ts';
import { isWithinScope } from './role-scope.ts';

const registries = 'Microsoft.ContainerRegistry/registries';
const matching: readonly [pattern: string, operation: string, isMatch: boolean][] = [
  ['*', `${registries}/read`, true],
  ['*/read', `${registries}/pull/read`, true],
  ['*/read', `${registries}/listCredentials/action`, false],
  [`${registries}/read`, `${registries}/READ`, true],
  [`${registries}/read`, `${registries}/reads`, false],
  [`${registries}/*`, `${registries}/tokens/write`, true],
  [`${registries}/*`, 'Microsoft.ContainerRegistry/registriesX/read', false],
  [`${registries}/*/read`, `${registries}/tokens/read`, true],
  [`${registries}/*/read`, `${registries}/read`, true],
  [`${registries}/*/assign/action`, `${registries}/assign/action`, true],
  [`${registries}/*Credential*/action`, `${registries}/regenerateCredential/action`, true],
  ['Microsoft.Authorization/*/Write', 'Microsoft.Authorization/roleAssignments/write', true],
  ['Microsoft.Authorization/*/Write', 'Microsoft.Authorization/write', true],
  ['a/*/b/*/c', 'a/b/c', true],
  ['a*a', 'a', false],
  ['ab*ba', 'aba', false],
  ['', 'a', false],
];

for (const [pattern, operation, isMatch] of matching)
  test(`'${pattern}' ${isMatch ? 'holds for' : 'does not hold for'} '${operation}'`, () => {
    assert.equal(matchesOperation(pattern, operation), isMatch);
  });

test('a pattern of many wildcards takes no time', () => {
  const tookMs = cpuMsOf(() => assert.equal(matchesOperation(`${'a*'.repeat(150)}b`, 'a'.repeat(300)), false));
  assert(tookMs < 100, `${tookMs} ms`);
});

test('what one set excludes, another may give; actions and data actions never stand for each other', () => {
  const nothing: Permission = { actions: [], notActions: [], dataActions: [], notDataActions: [] };
  const most = { ...nothing, actions: ['*'], notActions: ['*/delete'] };
  assert.equal(permits([most], 'action', 'a/delete'), false);
  assert.equal(permits([most, { ...nothing, actions: ['a/delete'] }], 'action', 'a/delete'), true);
  assert.equal(permits([most], 'dataAction', 'a/read'), false);
  const data = { ...nothing, dataActions: ['*'], notDataActions: ['a/b'] };
  assert.equal(permits([data], 'dataAction', 'a/b'), false);
  assert.equal(permits([data], 'action', 'a/c'), false);
});

test('ids and names of built-in roles are unique, and their ids are GUIDs in lower case', () => {
  const keys = new Set(builtInRoles.map(({ key }) => key));
  const names = new Set(builtInRoles.map(({ name }) => name.toLowerCase()));
  assert.deepEqual([keys.size, names.size], [builtInRoles.length, builtInRoles.length]);
  for (const key of keys) assert.match(key, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

test('a scope holds itself and what is inside, and nothing that only begins like it', () => {
  assert.equal(isWithinScope('/subscriptions/s', '/'), true);
  assert.equal(isWithinScope('/subscriptions/s', '/subscriptions/s'), true);
  assert.equal(isWithinScope('/subscriptions/s/resourcegroups/g', '/subscriptions/s'), true);
  assert.equal(isWithinScope('/subscriptions/s/resourcegroups/g2', '/subscriptions/s/resourcegroups/g'), false);
  assert.equal(isWithinScope('/subscriptions/s', '/subscriptions/s/resourcegroups/g'), false);
});
