import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routePattern } from './route-pattern.ts';

test('metrics know routes, not names', () => {
  const patterns = {
    '/v2': '/v2/',
    '/v2/': '/v2/',
    '/v2/a/b/manifests/latest': '/v2/*/manifests/*',
    '/v2/manifests/blobs/sha256:0': '/v2/*/blobs/*',
    '/v2/a/blobs/uploads/': '/v2/*/blobs/uploads/*',
    '/v2/a/blobs/uploads/x': '/v2/*/blobs/uploads/*',
    '/v2/a/tags/list': '/v2/*/tags/*',
    '/v2/a/referrers/sha256:0': '/v2/*/referrers/*',
    '/v2/a/b': 'other',
    '/admin/registries/x': '/admin/*',
    '/wp-login.php': 'other',
  };
  for (const [path, pattern] of Object.entries(patterns)) assert.equal(routePattern(path), pattern, path);
});
