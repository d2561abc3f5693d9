import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorName } from '../../core/errors.ts';
import { parseOciPath } from './oci-path.ts';

const digest = `sha256:${'a'.repeat(64)}`;

const good: readonly [path: string, resource: string, repository?: string, rest?: string][] = [
  ['/v2', 'base'],
  ['/v2/', 'base'],
  ['/v2/_catalog', 'catalog'],
  ['/v2/app/tags/list', 'tags', 'app'],
  ['/v2/team/app/tags/list', 'tags', 'team/app'],
  ['/v2/app/manifests/latest', 'manifest', 'app', 'latest'],
  [`/v2/a/b/c/manifests/${digest}`, 'manifest', 'a/b/c', digest],
  [`/v2/app/manifests/${digest.replace(':', '%3A')}`, 'manifest', 'app', digest],
  [`/v2/app/blobs/${digest}`, 'blob', 'app', digest],
  ['/v2/app/blobs/uploads', 'uploads', 'app'],
  ['/v2/app/blobs/uploads/', 'uploads', 'app'],
  ['/v2/app/blobs/uploads/ticket.1.0.x', 'upload', 'app', 'ticket.1.0.x'],
  [`/v2/app/referrers/${digest}`, 'referrers', 'app', digest],
  ['/v2/%61pp/manifests/v%31', 'manifest', 'app', 'v1'],
  ['/v2/team%2Fapp/manifests/latest', 'manifest', 'team/app', 'latest'],
  [`/v2/a%2fb/c/blobs/${digest}`, 'blob', 'a/b/c', digest],
  ['/v2/team%2Fapp/blobs/uploads/', 'uploads', 'team/app'],
  // Repositories called like words of the routes.
  ['/v2/blobs/tags/list', 'tags', 'blobs'],
  ['/v2/tags/list/tags/list', 'tags', 'tags/list'],
  ['/v2/tags/tags/list', 'tags', 'tags'],
  ['/v2/manifests/uploads/manifests/latest', 'manifest', 'manifests/uploads', 'latest'],
  ['/v2/blobs/uploads/blobs/uploads/', 'uploads', 'blobs/uploads'],
  ['/v2/blobs/uploads/blobs/uploads/ticket', 'upload', 'blobs/uploads', 'ticket'],
  [`/v2/blobs/uploads/blobs/${digest}`, 'blob', 'blobs/uploads', digest],
  ['/v2/manifests/manifests/manifests', 'manifest', 'manifests', 'manifests'],
  [`/v2/referrers/referrers/${digest}`, 'referrers', 'referrers', digest],
  ['/v2/v2/manifests/v2', 'manifest', 'v2', 'v2'],
  ['/v2/blobs/manifests/list', 'manifest', 'blobs', 'list'],
  ['/v2/app/blobs/manifests/uploads', 'manifest', 'app/blobs', 'uploads'],
];

for (const [path, resource, repository, rest] of good) {
  test(`${path} names ${resource} ${repository ?? ''} ${rest?.slice(0, 10) ?? ''}`, () => {
    assert.deepEqual(parseOciPath(path), {
      resource,
      ...(repository === undefined ? {} : { repository }),
      ...(rest === undefined ? {} : { rest }),
    });
  });
}

const bad: readonly [why: string, path: string, error: ErrorName][] = [
  ['another version', '/v1/', 'routeUnknown'],
  ['no resource', '/v2/app', 'routeUnknown'],
  ['an unknown resource', '/v2/app/things/x', 'routeUnknown'],
  ['an unknown list', '/v2/app/tags/all', 'routeUnknown'],
  ['more after the list', '/v2/app/tags/list/', 'routeUnknown'],
  ['more after a manifest', '/v2/app/manifests/a/b', 'routeUnknown'],
  ['more after an upload', '/v2/app/blobs/uploads/a/b', 'routeUnknown'],
  ['more after the catalog', '/v2/_catalog/x', 'routeUnknown'],
  ['no repository before a manifest', '/v2/manifests/latest', 'routeUnknown'],
  ['no repository before a blob', `/v2/blobs/${digest}`, 'routeUnknown'],
  ['no repository before the tags', '/v2/tags/list', 'routeUnknown'],
  ['an empty repository', '/v2//manifests/latest', 'nameInvalid'],
  ['two slashes in a repository', '/v2/a//b/manifests/latest', 'nameInvalid'],
  ['upper case', '/v2/App/manifests/latest', 'nameInvalid'],
  ['the folder above', '/v2/../manifests/latest', 'nameInvalid'],
  ['the folder above, escaped', '/v2/%2e%2e/manifests/latest', 'nameInvalid'],
  ['the folder above inside', '/v2/a/../../etc/manifests/passwd', 'nameInvalid'],
  ['everything in one segment', '/v2/team%2Fapp%2Fmanifests%2Flatest', 'routeUnknown'],
  ['the folder above behind an escaped slash', '/v2/team%2F..%2Fapp/manifests/latest', 'nameInvalid'],
  ['a word of the route behind an escaped slash', '/v2/app%2Fmanifests/latest', 'routeUnknown'],
  ['an escaped slash in a tag', '/v2/app/manifests/..%2f..%2fetc', 'routeUnknown'],
  ['an escaped slash escaped twice', '/v2/team%252fapp/manifests/latest', 'nameInvalid'],
  ['an escaped NUL in a repository', '/v2/a%00b/manifests/latest', 'nameInvalid'],
  ['an escaped backslash', '/v2/a%5cb/manifests/latest', 'nameInvalid'],
  ['an escaped space', '/v2/a%20b/manifests/latest', 'nameInvalid'],
  ['a malformed escape', '/v2/a%zz/manifests/latest', 'routeUnknown'],
  ['a cut escape', '/v2/app/manifests/v%', 'routeUnknown'],
  ['an escape that is no UTF-8', '/v2/app/manifests/%ff', 'routeUnknown'],
  ['a name that is too long', `/v2/${'a'.repeat(256)}/manifests/latest`, 'nameInvalid'],
  ['a path that is too long', `/v2/${'a/'.repeat(600)}manifests/latest`, 'routeUnknown'],
];

for (const [why, path, error] of bad) {
  test(`no route: ${why}`, () => assert.throws(() => parseOciPath(path), { error }));
}

test('what a tag or digest may be is for its route to say', () => {
  for (const rest of ['..', '', 'a\0b', '%']) {
    assert.deepEqual(parseOciPath(`/v2/app/manifests/${encodeURIComponent(rest)}`), {
      resource: 'manifest',
      repository: 'app',
      rest,
    });
  }
});
