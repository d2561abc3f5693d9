import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { anonymous } from '../identity/principal.ts';
import { childName, groupResourceName, memberName } from '../resources/resource-names.ts';
import { type Circumstances, decide, visible } from './decision.ts';
import {
  checkScopeMapName,
  scopeMapGrants,
  scopeMapType,
  systemActions,
  systemScopeMaps,
  validateScopeMap,
} from './scope-map.ts';

const circumstances: Circumstances = { address: '', surface: 'oci', correlationId: '', userAgent: undefined };
const registry = memberName(groupResourceName('s', 'g'), 'Microsoft.ContainerRegistry/registries', 'contoso');
const name = childName(registry, scopeMapType, 'makers');

function validated(actions: unknown, description?: string) {
  const properties = JSON.parse(JSON.stringify({ actions, description }));
  const desired = { location: undefined, tags: {}, sku: undefined, identity: undefined, properties };
  return validateScopeMap({ name, desired, existing: undefined }).properties;
}

const good: readonly string[] = [
  'repositories/app/content/read',
  'repositories/team/app/content/write',
  'repositories/team/app/content/delete',
  'repositories/team/app/metadata/read',
  'repositories/team/app/metadata/write',
  'repositories/*/content/read',
  'repositories/team/*/metadata/read',
  'repositories/team/content/read/content/read',
  'gateway/store1/config/read',
  'gateway/store1/message/write',
];
const bad: Readonly<Record<string, string>> = {
  'a wildcard in the middle': 'repositories/sample/*/teamA/content/read',
  'a wildcard behind letters': 'repositories/sample/team*/content/read',
  'two wildcards': 'repositories/sample/*/b/*/content/read',
  'a wildcard in front': 'repositories/*/sample/content/read',
  'a double wildcard': 'repositories/**/content/read',
  'a name that is none': 'repositories/sample//content/read',
  'a path upwards': 'repositories/../content/read',
  'no name': 'repositories/content/read',
  'metadata/delete': 'repositories/app/metadata/delete',
  'a right that is none': 'repositories/app/content/fly',
  'another kind': 'registries/app/content/read',
  'a content right of a gateway': 'gateway/store1/content/read',
  'a gateway of every name': 'gateway/*/config/read',
  'the empty text': '',
  'a line break': 'repositories/app/content/read\nrepositories/b/content/read',
};

for (const action of good)
  test(`is an action: ${action}`, () => assert.deepEqual(validated([action]).actions, [action]));
for (const [label, action] of Object.entries(bad)) {
  test(`is no action: ${label}`, () => assert.throws(() => validated([action]), { error: 'resourceInvalid' }));
}

test('actions are kept in lower case, once each', () => {
  const actions = ['repositories/Team/App/content/READ', 'repositories/team/app/content/read'];
  assert.deepEqual(validated(actions, 'of makers'), {
    description: 'of makers',
    actions: ['repositories/team/app/content/read'],
  });
});

test('a map has at least one action, and not any number', () => {
  for (const actions of [undefined, null, [], 'repositories/a/content/read', [1], Array(3_000).fill(good[0])])
    assert.throws(() => validated(actions), { error: 'resourceInvalid' });
});

test('names', () => {
  for (const valid of ['makers', 'makers_1-a', 'a'.repeat(60)]) checkScopeMapName(valid);
  for (const wrong of ['make', '_repositories_pull', 'a'.repeat(61), 'mak.ers', 'mak ers', ''])
    assert.throws(() => checkScopeMapName(wrong), { error: 'resourceNameInvalid' });
});

/** What a map allows, as one letter per action: Pull, Push (w), Delete, metadata Read, metadata Write (m). */
function allowed(actions: readonly string[], repository: string, registryUid = 'r'): string {
  const rights = { principal: anonymous, grants: scopeMapGrants('makers', 'r', actions) };
  const scope = { kind: 'repository', registryUid, repository: parseRepositoryName(repository) } as const;
  const letters = { pull: 'p', push: 'w', delete: 'd', metadata_read: 'r', metadata_write: 'm' } as const;
  return (['pull', 'push', 'delete', 'metadata_read', 'metadata_write'] as const)
    .filter((action) => decide(rights, action, scope, circumstances).kind === 'allowed')
    .map((action) => letters[action])
    .join('');
}

test('entries add up, and wildcards stand for everything below. Source: ACR semantics, 5.4', () => {
  const map = [
    'repositories/sample/*/content/read',
    'repositories/sample/teamA/*/content/write',
    'repositories/sample/teamA/projectB/content/delete',
  ].map((action) => action.toLowerCase());
  assert.equal(allowed(map, 'sample/teama/projectb'), 'pwd');
  assert.equal(allowed(map, 'sample/teama/projectc'), 'pw');
  assert.equal(allowed(map, 'sample/teamb/projecta'), 'p');
  assert.equal(allowed(map, 'sample'), '');
  assert.equal(allowed(map, 'samples/a'), '');
  assert.equal(allowed(map, 'sample/teama/projectb', 'another'), '');
});

test('maps of the system cover every repository, and none of them the catalog', () => {
  const rights = Object.keys(systemScopeMaps).map((map) => [map, allowed(systemActions(map) ?? [], 'any/thing')]);
  assert.deepEqual(Object.fromEntries(rights), {
    _repositories_admin: 'pwdrm',
    _repositories_pull: 'p',
    _repositories_pull_metadata_read: 'pr',
    _repositories_push: 'pw',
    _repositories_push_metadata_write: 'pwrm',
  });
  const grants = scopeMapGrants('a', 'r', systemActions('_repositories_admin') ?? []);
  assert.deepEqual(visible({ principal: anonymous, grants }, 'catalogList', 'r'), { kind: 'none' });
  assert.equal(systemActions('constructor'), undefined);
});

test('gateway actions give nothing on content', () => {
  assert.deepEqual(scopeMapGrants('a', 'r', ['gateway/store1/config/read']), []);
});
