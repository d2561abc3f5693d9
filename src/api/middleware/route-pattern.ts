const repositoryRoutes = ['manifests', 'blobs', 'tags', 'referrers'];
const acrRoutes = ['_catalog', '_usage', '_deleted'];
const acrWords = ['_tags', '_manifests', '_usage'];
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
  if (path.startsWith('/acr/v1/')) return acrRoute(path);
  if (path === '/v2') return '/v2/';
  return wholes.find(([pattern]) => pattern.test(path))?.[1] ?? 'other';
}

/** Parts of the server with too many routes to tell apart, and too few requests. */
const wholes: readonly [pattern: RegExp, route: string][] = [
  [/^\/admin\//, '/admin/*'],
  [/^\/agent\//, '/agent/*'],
  [/^\/build-files\//, '/build-files/*'],
  [/^\/events(\/|$)/, '/events'],
  [/^\/(subscriptions|tenants|providers)(\/|$)/i, '/subscriptions/*'],
  [/^\/graph\//, '/graph/*'],
  [/^\/([0-9a-f-]{36}|adfs|common|organizations)\//i, '/{tenant}/*'],
];

function repositoryRoute(path: string): string {
  if (path.includes('/blobs/uploads/')) return '/v2/*/blobs/uploads/*';
  const end = path.lastIndexOf('/');
  const word = path.slice(path.lastIndexOf('/', end - 1) + 1, end);
  return repositoryRoutes.includes(word) ? `/v2/*/${word}/*` : 'other';
}

/** A part of a name never begins with `_`. */
function acrRoute(path: string): string {
  const segments = path.slice('/acr/v1/'.length).split('/');
  const at = segments.findIndex((segment) => segment.startsWith('_'));
  if (at < 0) return '/acr/v1/*';
  const word = segments[at] ?? '';
  if (at === 0 && acrRoutes.includes(word)) return word === '_deleted' ? '/acr/v1/_deleted/*' : `/acr/v1/${word}`;
  if (at === 0 || !acrWords.includes(word)) return 'other';
  return at === segments.length - 1 ? `/acr/v1/*/${word}` : `/acr/v1/*/${word}/*`;
}
