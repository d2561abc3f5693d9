import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { isInScope, parseScope } from './webhook-scope.ts';

const holds = (scope: string, repository: string, ...tags: string[]) => {
  const parsed = parseScope(scope);
  assert(parsed !== undefined, scope);
  return isInScope(parsed, repository, tags);
};

test('scopes hold for what they name', () => {
  const cases: readonly (readonly [scope: string, repository: string, tags: readonly string[], holds: boolean])[] = [
    ['', 'app', [], true],
    ['*', 'team/app', ['v1'], true],
    ['app:*', 'app', [], true],
    ['app:*', 'app/web', ['v1'], false],
    ['app:v1', 'app', ['v1'], true],
    ['app:v1', 'app', ['v2', 'v1'], true],
    ['app:v1', 'app', ['v10'], false],
    ['app:v1', 'app', [], false],
    ['app', 'app', ['latest'], true],
    ['app', 'app', ['v1'], false],
    ['team/*', 'team/app', [], true],
    ['team/*', 'teams', ['v1'], false],
    ['team/*:v1', 'team/app', ['v1'], true],
    ['app:v1*', 'app', ['v1.2'], true],
    ['*:stable', 'any/where', ['stable'], true],
  ];
  for (const [scope, repository, tags, expected] of cases)
    assert.equal(holds(scope, repository, ...tags), expected, `${scope} on ${repository} ${tags}`);
});

test('malformed scopes are none', () => {
  for (const scope of [
    'App:v1',
    'app:',
    ':v1',
    'a:b:c',
    'app/',
    '/app',
    'a*b',
    'app:v*1',
    'app v1',
    'é',
    'a'.repeat(500),
  ])
    assert.equal(parseScope(scope), undefined, scope);
});

test('a hostile scope is read at once', () => {
  const tookMs = cpuMsOf(() => {
    parseScope(`${'a-'.repeat(195)}!`);
    parseScope(`${'a.'.repeat(195)}`);
  });
  assert(tookMs < 50, `${tookMs} ms`);
});
