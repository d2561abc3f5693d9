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
    '/acr/v1/_catalog': '/acr/v1/_catalog',
    '/acr/v1/_usage': '/acr/v1/_usage',
    '/acr/v1/_deleted/_catalog': '/acr/v1/_deleted/*',
    '/acr/v1/_deleted/a/b/_manifests/sha256:0': '/acr/v1/_deleted/*',
    '/acr/v1/a/b': '/acr/v1/*',
    '/acr/v1/a/_tags': '/acr/v1/*/_tags',
    '/acr/v1/a%2fb/_manifests': '/acr/v1/*/_manifests',
    '/acr/v1/a/b/_tags/v1': '/acr/v1/*/_tags/*',
    '/acr/v1/a/b/_usage/sha256:0': '/acr/v1/*/_usage/*',
    '/acr/v1/a/_nonsense': 'other',
    '/acr/v1/_nonsense': 'other',
    '/admin/registries/x': '/admin/*',
    '/events': '/events',
    '/Subscriptions/x/resourceGroups': '/subscriptions/*',
    '/graph/v1.0/me': '/graph/*',
    '/adfs/oauth2/token': '/{tenant}/*',
    '/98fd72f9-0ed5-4870-b213-132555d7309a/oauth2/v2.0/token': '/{tenant}/*',
    '/wp-login.php': 'other',
  };
  for (const [path, pattern] of Object.entries(patterns)) assert.equal(routePattern(path), pattern, path);
});
