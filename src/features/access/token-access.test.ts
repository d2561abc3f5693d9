import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseScopes } from '../../core/scope.ts';
import type { Principal } from '../identity/principal.ts';
import type { PermissionMode } from '../registries/registry.ts';
import type { Circumstances, Rights, Visible } from './decision.ts';
import { scopeMapGrants } from './scope-map.ts';
import { grantedAccess, heldAmong, permittedActions, tokenHolds } from './token-access.ts';

const circumstances: Circumstances = { address: '', surface: 'token', correlationId: '', userAgent: undefined };
const principal: Principal = { kind: 'repositoryToken', uid: 'p', name: 'p', isOwner: false, registryUid: 'r' };
const some: Rights = {
  principal,
  grants: scopeMapGrants('map', 'r', [
    'repositories/samples/*/content/read',
    'repositories/samples/a/*/content/write',
    'repositories/app/content/read',
  ]),
};
const all: Rights = {
  principal,
  grants: [{ by: 'test', actions: ['pull', 'push', 'catalogList'], at: { kind: 'registry', registryUid: 'r' } }],
};

function granted(rights: Rights, scopes: string, permissionMode: PermissionMode = 'LegacyRegistryPermissions') {
  const registry = { uid: 'r', permissionMode };
  const access = grantedAccess({ rights, asked: parseScopes(scopes), registry, limits: undefined, circumstances });
  return access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ');
}

const rows: readonly [string, Rights, string, string][] = [
  ['the allowed part of what was asked', some, 'repository:samples/x:pull,push', 'repository:samples/x:pull'],
  ['both parts', some, 'repository:samples/a/x:pull,push', 'repository:samples/a/x:pull,push'],
  ['nothing that is not allowed', some, 'repository:other:pull repository:samplesx:pull', ''],
  ['a wildcard over what is allowed', some, 'repository:samples/*:pull,push', 'repository:samples/*:pull'],
  ['a wildcard inside it', some, 'repository:samples/a/b/*:pull,push', 'repository:samples/a/b/*:pull,push'],
  ['no wildcard that is wider', some, 'repository:*:pull', ''],
  ['no wildcard below a single repository', some, 'repository:app/*:pull', ''],
  ['the wildcard of all with rights on all', all, 'repository:*:pull,delete', 'repository:*:pull'],
  ['no wildcard in the middle', all, 'repository:a/*/b:pull', ''],
  ['no wildcard behind letters', all, 'repository:a*:pull', ''],
  ['the catalog', all, 'registry:catalog:*', 'registry:catalog:*'],
  ['no catalog without the right', some, 'registry:catalog:*', ''],
  ['nothing for what az check-health asks', all, 'registry:None:*', ''],
];
for (const [name, rights, asked, expected] of rows) {
  test(`grants ${name}`, () => assert.equal(granted(rights, asked), expected));
}

test('where rights go by repository, a name with a wildcard is granted nothing', () => {
  const mode = 'AbacRepositoryPermissions';
  assert.equal(granted(all, 'repository:*:pull repository:a/*:pull repository:a:pull', mode), 'repository:a:pull');
});

test('a token with a wildcard holds its actions on what is below', () => {
  const access = parseScopes('repository:samples/*:pull repository:app:push');
  const holds = (action: 'pull' | 'push', repository: string) => tokenHolds(access, action, repository);
  assert.deepEqual(
    [holds('pull', 'samples/a'), holds('pull', 'samples/a/b'), holds('pull', 'samples'), holds('pull', 'samplesx')],
    [true, true, false, false],
  );
  assert.deepEqual([holds('push', 'samples/a'), holds('push', 'app'), holds('push', 'app/b')], [false, true, false]);
  assert(tokenHolds(parseScopes('repository:*:pull'), 'pull', 'any/thing'));
});

test('a refresh token names what its holder may do somewhere', () => {
  assert.deepEqual(permittedActions(some, 'r'), ['read', 'write']);
  assert.deepEqual(permittedActions(some, 'another'), []);
});

test('what a token shows is what both the rights and its names allow', () => {
  const held = (allowed: Visible, scopes: string) => heldAmong(allowed, parseScopes(scopes), 'pull');
  const matches = (name: string) => name !== 'samples/no';
  const few: Visible = { kind: 'some', names: ['app', 'samples/b'], prefixes: ['samples/a/'], matches };
  const none: Visible = { kind: 'none' };
  const everything: Visible = { kind: 'all' };
  assert.deepEqual(held(everything, 'repository:*:pull'), everything);
  assert.deepEqual(held(everything, 'repository:*:push'), none);
  assert.deepEqual(held(none, 'repository:*:pull'), none);
  assert.deepEqual(held(everything, 'repository:app:pull repository:samples/*:pull'), {
    kind: 'some',
    names: ['app'],
    prefixes: ['samples/'],
  });
  assert.deepEqual(held(few, 'repository:*:pull'), few);
  assert.deepEqual(held(few, 'repository:other:pull'), none);
  assert.deepEqual(held(few, 'repository:samples/*:pull'), { ...few, names: ['samples/b'] });
  assert.deepEqual(held(few, 'repository:samples/a/b/*:pull repository:app:pull'), {
    ...few,
    names: ['app'],
    prefixes: ['samples/a/b/'],
  });
  assert.deepEqual(held(few, 'repository:samples/no:pull'), none);
});
