const repositoryRoutes = ['manifests', 'blobs', 'tags', 'referrers'];
const plainRoutes = new Map(
  ['/', '/v2/', '/v2/_catalog', '/oauth2/token', '/oauth2/exchange', '/healthz', '/readyz', '/metrics'].map((route) => [
    route,
    route,
  ]),
);

/** The route a path belongs to, for metrics: a short list, whatever clients ask for. */
export function routePattern(path: string): string {
  const plain = plainRoutes.get(path);
  if (plain !== undefined) return plain;
  if (path.startsWith('/v2/')) return repositoryRoute(path);
  if (path.startsWith('/admin/')) return '/admin/*';
  return path === '/v2' ? '/v2/' : 'other';
}

function repositoryRoute(path: string): string {
  if (path.includes('/blobs/uploads/')) return '/v2/*/blobs/uploads/*';
  const end = path.lastIndexOf('/');
  const word = path.slice(path.lastIndexOf('/', end - 1) + 1, end);
  return repositoryRoutes.includes(word) ? `/v2/*/${word}/*` : 'other';
}
