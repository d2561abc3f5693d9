import { TaskError } from './task-error.ts';

/** An image name, taken apart. `registry` is undefined where the name has none; then it means Docker Hub to other clients. */
export type ImageName = {
  readonly registry: string | undefined;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
};

const maxLength = 1024;
const repositoryPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const hostPattern = /^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const digestPattern = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-zA-Z]{32,}$/;

/**
 * Reads `[registry/]repository[:tag][@digest]`. The first part is a registry when it has a dot or a port, or is `localhost`.
 * Throws TaskError. Source: OCI distribution specification, "Pulling manifests"; Docker's reference grammar.
 */
export function parseImageName(text: string): ImageName {
  // Whole or not at all: a piece of a secret would not be hidden.
  const shown = text.length > 100 ? `a text of ${text.length} characters` : `"${text}"`;
  const fail = () => new TaskError(`${shown} is not an image name such as app:v1`);
  if (text.length === 0 || text.length > maxLength) throw fail();
  const [named = '', digest, ...more] = text.split('@');
  const slash = named.indexOf('/');
  const first = slash < 0 ? '' : named.slice(0, slash);
  const registry = isHost(first) ? first : undefined;
  const path = registry === undefined ? named : named.slice(slash + 1);
  const colon = path.lastIndexOf(':');
  const repository = colon < 0 ? path : path.slice(0, colon);
  const tag = colon < 0 ? undefined : path.slice(colon + 1);
  const isRight =
    more.length === 0 &&
    (registry === undefined || hostPattern.test(registry)) &&
    repositoryPattern.test(repository) &&
    (tag === undefined || tagPattern.test(tag)) &&
    (digest === undefined || digestPattern.test(digest));
  if (!isRight) throw fail();
  return { registry, repository, tag, digest };
}

export function isImageName(text: string): boolean {
  try {
    parseImageName(text);
    return true;
  } catch {
    return false;
  }
}

function isHost(part: string): boolean {
  return part === 'localhost' || /[.:]/.test(part);
}

export function formatImageName({ registry, repository, tag, digest }: ImageName): string {
  const name = registry === undefined ? repository : `${registry}/${repository}`;
  return `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** With the tag `latest` where neither tag nor digest is given. Throws TaskError. */
export function withTag(text: string): string {
  const name = parseImageName(text);
  return formatImageName(name.tag === undefined && name.digest === undefined ? { ...name, tag: 'latest' } : name);
}

/**
 * The name as it is built and pushed: in the run's own registry unless its host is exactly a registry that the run knows, or
 * it begins with `library/`. Throws TaskError. Source: ACR tasks, 1.5 (there a mere prefix counts; a look-alike host does not here).
 */
export function withRegistry(text: string, loginServer: string, known: readonly string[]): string {
  const [first = ''] = text.split('/');
  const isKnown = [loginServer, ...known].some((host) => host.toLowerCase() === first.toLowerCase());
  if (text.startsWith('library/') || (isKnown && text.includes('/'))) return withTag(text);
  return withTag(`${loginServer}/${text}`);
}

/** Where an image without a registry comes from, as other clients have it: Docker Hub, official images below `library/`. */
export function withHub(name: ImageName): ImageName & { readonly registry: string } {
  const { registry = 'docker.io', repository } = name;
  const isOfficial = registry === 'docker.io' && !repository.includes('/');
  return { ...name, registry, repository: isOfficial ? `library/${repository}` : repository };
}
