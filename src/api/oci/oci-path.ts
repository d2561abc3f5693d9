import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName, type RepositoryName } from '../../core/repository-name.ts';

/** What a path below `/v2/` names. `rest` is the reference, digest or ticket, decoded once. */
export type OciPath =
  | { readonly resource: 'base' | 'catalog' }
  | { readonly resource: 'tags' | 'uploads'; readonly repository: RepositoryName }
  | {
      readonly resource: 'manifest' | 'blob' | 'upload' | 'referrers';
      readonly repository: RepositoryName;
      readonly rest: string;
    };

const maxPathLength = 1024;

/**
 * Reads the path of a request. A repository may itself be called `blobs` or `manifests/uploads`, so the words of the
 * routes are looked for from the end. Azure's SDKs send the slashes of its name encoded. Throws `routeUnknown` and `nameInvalid`.
 * Source: OCI distribution specification, "Endpoints".
 */
export function parseOciPath(path: string): OciPath {
  if (path === '/v2/' || path === '/v2') return { resource: 'base' };
  if (path === '/v2/_catalog') return { resource: 'catalog' };
  if (!path.startsWith('/v2/') || path.length > maxPathLength) throw new BerthError('routeUnknown');
  const segments = path.slice('/v2/'.length).split('/').map(decode);
  const [third = '', second = '', last = ''] = segments.slice(-3);
  if (last.includes('/')) throw new BerthError('routeUnknown');
  const before = (count: number) => parseRepositoryName(segments.slice(0, -count).join('/'));
  if (second === 'tags' && last === 'list') return { resource: 'tags', repository: before(2) };
  if (third === 'blobs' && second === 'uploads') {
    return last === ''
      ? { resource: 'uploads', repository: before(3) }
      : { resource: 'upload', repository: before(3), rest: last };
  }
  if (second === 'blobs' && last === 'uploads') return { resource: 'uploads', repository: before(2) };
  if (second === 'manifests') return { resource: 'manifest', repository: before(2), rest: last };
  if (second === 'blobs') return { resource: 'blob', repository: before(2), rest: last };
  if (second === 'referrers') return { resource: 'referrers', repository: before(2), rest: last };
  throw new BerthError('routeUnknown');
}

function decode(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    // Malformed escapes name nothing.
    throw new BerthError('routeUnknown');
  }
}
