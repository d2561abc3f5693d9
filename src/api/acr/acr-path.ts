import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName, type RepositoryName } from '../../core/repository-name.ts';

/** What a path below `/acr/v1/` names. `rest` is the tag or digest, decoded once. */
export type AcrPath =
  | { readonly resource: 'catalog' | 'registryUsage' | 'deletedCatalog' }
  | {
      readonly resource: 'repository' | 'tags' | 'manifests' | 'usage' | DeletedList;
      readonly repository: RepositoryName;
    }
  | {
      readonly resource: 'tag' | 'manifest' | 'contentUsage' | 'deletedManifest';
      readonly repository: RepositoryName;
      readonly rest: string;
    };

type DeletedList = 'deletedTags' | 'deletedManifests';

const prefix = '/acr/v1/';
const maxPathLength = 1024;
const lists = { _tags: 'tags', _manifests: 'manifests', _usage: 'usage' } as const;
const entries = { _tags: 'tag', _manifests: 'manifest', _usage: 'contentUsage' } as const;

/**
 * Reads the path of a request. Unlike under `/v2/`, a repository's name may be sent with its slashes encoded, as Azure's SDKs
 * do; no part of a name begins with `_`, so the words of the routes stand out. Throws `routeUnknown` and `nameInvalid`.
 * Source: ACR semantics, 4.1.
 */
export function parseAcrPath(path: string): AcrPath {
  if (!path.startsWith(prefix) || path.length > maxPathLength) throw new BerthError('routeUnknown');
  const segments = path.slice(prefix.length).split('/').map(decode);
  if (segments.length === 1 && segments[0] === '_catalog') return { resource: 'catalog' };
  if (segments.length === 1 && segments[0] === '_usage') return { resource: 'registryUsage' };
  if (segments[0] === '_deleted') return deletedPath(segments.slice(1));
  const at = segments.findIndex((segment) => segment.startsWith('_'));
  if (at < 0) return { resource: 'repository', repository: nameOf(segments) };
  const repository = nameOf(segments.slice(0, at));
  const [word = '', rest, ...more] = segments.slice(at);
  if (!isWord(word) || rest === '' || rest?.includes('/') || more.length > 0) throw new BerthError('routeUnknown');
  return rest === undefined ? { resource: lists[word], repository } : { resource: entries[word], repository, rest };
}

/** What stands behind `_deleted/`. */
function deletedPath(segments: readonly string[]): AcrPath {
  if (segments.length === 1 && segments[0] === '_catalog') return { resource: 'deletedCatalog' };
  const at = segments.findIndex((segment) => segment.startsWith('_'));
  if (at < 0) throw new BerthError('routeUnknown');
  const repository = nameOf(segments.slice(0, at));
  const [word, rest, ...more] = segments.slice(at);
  if (rest === undefined && word === '_tags') return { resource: 'deletedTags', repository };
  if (rest === undefined && word === '_manifests') return { resource: 'deletedManifests', repository };
  if (word !== '_manifests' || rest === undefined || rest === '' || more.length > 0)
    throw new BerthError('routeUnknown');
  return { resource: 'deletedManifest', repository, rest };
}

function nameOf(segments: readonly string[]): RepositoryName {
  return parseRepositoryName(segments.join('/'));
}

function isWord(word: string): word is keyof typeof lists {
  return Object.hasOwn(lists, word);
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
