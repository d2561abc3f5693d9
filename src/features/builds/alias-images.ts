import type { Queries } from '../../platform/database/database.ts';
import { formatImageName, parseImageName, withTag } from '../../wire/tasks/image-name.ts';
import { requireAliasName } from '../../wire/tasks/task-aliases.ts';
import { TaskError } from '../../wire/tasks/task-error.ts';

/** Images by the bare words that stand for them in a `cmd`; those without a registry are in that of the run. */
export type AliasImages = ReadonlyMap<string, string>;

/** An image with its registry and tag or digest. */
export type AliasImage = { readonly name: string; readonly image: string };

/** Of every registry unless the installation says otherwise. Source: ACR tasks, 2.11. */
const usual: AliasImages = new Map(['az', 'bash', 'curl', 'cssc'].map((name) => [name, `acr/${name}`]));
/** What is done without an image. */
const reserved = ['acr', 'docker'];
const maxAliases = 100;

/** Reads `word=image`. Throws RangeError. */
export function parseAliasImages(pairs: readonly string[]): AliasImages {
  if (pairs.length > maxAliases) throw new RangeError(`at most ${maxAliases} words can stand for images`);
  return new Map(pairs.map(pairOf));
}

function pairOf(pair: string): [string, string] {
  const [name = '', image, ...rest] = pair.split('=');
  if (image === undefined || rest.length > 0) throw new RangeError(`${pair} is not of the form word=image`);
  if (reserved.includes(name)) throw new RangeError(`'${name}' is done without an image, and stands for none`);
  try {
    requireAliasName(name);
    return [name, withTag(image)];
  } catch (cause) {
    if (!(cause instanceof TaskError)) throw cause;
    throw new RangeError(cause.message, { cause });
  }
}

/** What the words stand for in runs of a registry, in the order of the words. */
export function aliasImagesOf(registered: AliasImages, loginServer: string): AliasImage[] {
  return [...new Map([...usual, ...registered])]
    .map(([name, text]) => {
      const image = parseImageName(withTag(text));
      return { name, image: formatImageName({ ...image, registry: image.registry ?? loginServer }) };
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whether a registry of this installation has an image; undefined for one elsewhere. */
export async function isAliasThere(
  queries: Queries,
  registryUidOf: (host: string) => string | undefined,
  { image }: AliasImage,
): Promise<boolean | undefined> {
  const { registry = '', repository, tag, digest } = parseImageName(image);
  const uid = registryUidOf(registry);
  if (uid === undefined) return undefined;
  const found = queries
    .selectFrom('repositories')
    .select('repositories.uid')
    .where('repositories.registry_uid', '=', uid)
    .where('repositories.name', '=', repository);
  const row =
    digest === undefined
      ? await found
          .innerJoin('tags', 'tags.repository_uid', 'repositories.uid')
          .where('tags.name', '=', tag ?? 'latest')
          .executeTakeFirst()
      : await found
          .innerJoin('manifests', 'manifests.repository_uid', 'repositories.uid')
          .where('manifests.digest', '=', digest)
          .executeTakeFirst();
  return row !== undefined;
}
