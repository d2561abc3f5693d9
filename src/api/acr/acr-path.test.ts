import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorName } from '../../core/errors.ts';
import { parseAcrPath } from './acr-path.ts';

const digest = `sha256:${'a'.repeat(64)}`;

const good: readonly [path: string, resource: string, repository?: string, rest?: string][] = [
  ['/acr/v1/_catalog', 'catalog'],
  ['/acr/v1/_usage', 'registryUsage'],
  ['/acr/v1/app', 'repository', 'app'],
  ['/acr/v1/team/app', 'repository', 'team/app'],
  ['/acr/v1/team%2Fapp', 'repository', 'team/app'],
  ['/acr/v1/a%2fb/c', 'repository', 'a/b/c'],
  ['/acr/v1/team/app/_tags', 'tags', 'team/app'],
  ['/acr/v1/team%2Fapp/_tags/v1', 'tag', 'team/app', 'v1'],
  ['/acr/v1/app/_tags/_x', 'tag', 'app', '_x'],
  ['/acr/v1/app/_manifests', 'manifests', 'app'],
  [`/acr/v1/app/_manifests/${digest}`, 'manifest', 'app', digest],
  [`/acr/v1/app/_manifests/${encodeURIComponent(digest)}`, 'manifest', 'app', digest],
  ['/acr/v1/app/_usage', 'usage', 'app'],
  ['/acr/v1/app/_usage/v1', 'contentUsage', 'app', 'v1'],
  ['/acr/v1/tags/manifests', 'repository', 'tags/manifests'],
];

for (const [path, resource, repository, rest] of good)
  test(`${path} names ${resource} ${repository ?? ''}`, () => {
    assert.deepEqual(parseAcrPath(path), {
      resource,
      ...(repository === undefined ? {} : { repository }),
      ...(rest === undefined ? {} : { rest }),
    });
  });

const bad: readonly [why: string, path: string, error: ErrorName][] = [
  ['another version', '/acr/v2/app', 'routeUnknown'],
  ['nothing', '/acr/v1/', 'nameInvalid'],
  ['an unknown word', '/acr/v1/app/_things', 'routeUnknown'],
  ['an unknown list', '/acr/v1/_things', 'nameInvalid'],
  ['a word of all objects', '/acr/v1/app/__proto__', 'routeUnknown'],
  ['more after a tag', '/acr/v1/app/_tags/v1/x', 'routeUnknown'],
  ['an empty tag', '/acr/v1/app/_tags/', 'routeUnknown'],
  ['an escaped slash in a tag', '/acr/v1/app/_tags/a%2Fb', 'routeUnknown'],
  ['a list of no repository', '/acr/v1/_tags', 'nameInvalid'],
  ['the folder above', '/acr/v1/../app', 'nameInvalid'],
  ['the folder above, escaped', '/acr/v1/team%2F..%2Fapp', 'nameInvalid'],
  ['escaped twice', '/acr/v1/team%252Fapp', 'nameInvalid'],
  ['an escaped NUL', '/acr/v1/a%00b', 'nameInvalid'],
  ['a malformed escape', '/acr/v1/a%zz', 'routeUnknown'],
  ['a name that is too long', `/acr/v1/${'a'.repeat(256)}`, 'nameInvalid'],
  ['a path that is too long', `/acr/v1/${'a/'.repeat(600)}a`, 'routeUnknown'],
];

for (const [why, path, error] of bad)
  test(`no route: ${why}`, () => {
    assert.throws(() => parseAcrPath(path), { error });
  });
