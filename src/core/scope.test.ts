import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatScope, parseScopes } from './scope.ts';

const repository = (name: string, ...actions: string[]) => ({ type: 'repository', name, actions });

const good: readonly [text: string, scopes: readonly object[]][] = [
  ['repository:app:pull', [repository('app', 'pull')]],
  ['repository:team/app:pull,push', [repository('team/app', 'pull', 'push')]],
  ['repository:localhost:5000/app:pull', [repository('localhost:5000/app', 'pull')]],
  ['registry:catalog:*', [{ type: 'registry', name: 'catalog', actions: ['*'] }]],
  ['repository:a:pull repository:b:push', [repository('a', 'pull'), repository('b', 'push')]],
  ['repository:a:pull,pull,,push,', [repository('a', 'pull', 'push')]],
  ['repository:a:*', [repository('a', '*')]],
];

const leftOut: readonly [why: string, text: string][] = [
  ['empty', ''],
  ['only spaces', '   '],
  ['no colon', 'repository'],
  ['one colon', 'repository:app'],
  ['no actions', 'repository:app:'],
  ['only commas', 'repository:app:,,'],
  ['no name', 'repository::pull'],
  ['no type', ':app:pull'],
  ['another type', 'plugin:app:pull'],
  ['a class of repository', 'repository(plugin):app:pull'],
  ['upper case', 'Repository:app:pull'],
];

for (const [text, scopes] of good) {
  test(`"${text}" is understood`, () => assert.deepEqual(parseScopes(text), scopes));
}

for (const [why, text] of leftOut) {
  test(`a scope is left out: ${why}`, () => assert.deepEqual(parseScopes(text), []));
}

test('one scope that is left out does not take the others with it', () => {
  assert.deepEqual(parseScopes('nonsense repository:a:pull plugin:b:pull'), [repository('a', 'pull')]);
});

test('a scope is written as it is read', () => {
  for (const text of ['repository:team/app:pull,push', 'registry:catalog:*']) {
    assert.deepEqual(parseScopes(text).map(formatScope), [text]);
  }
});
