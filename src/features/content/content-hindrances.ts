import type { Database, Queries } from '../../platform/database/database.ts';
import type { FindHindrances, HinderedPlace, Hindrance } from '../access/hindrances.ts';
import type { Registry } from '../registries/registry.ts';
import { type AttributeName, attributesOf, type Locks } from './attributes.ts';
import { type ImmutableTags, immutableTagsOf } from './immutable-tags.ts';
import { fromRepository } from './repository-store.ts';
import type { StorageLimits } from './storage-use.ts';

export type ContentHindrancesParts = { readonly database: Database; readonly storageLimits?: StorageLimits };

/** What stands at the place: locks are 0 where nothing is there yet. */
type Standing = {
  readonly repositoryLocks: Locks;
  readonly immutable: ImmutableTags;
  readonly tag: { readonly name: string; readonly locks: Locks; readonly isThere: boolean } | undefined;
  readonly manifest: { readonly digest: string; readonly locks: Locks } | undefined;
  /** An index that lists the manifest. */
  readonly index: string | undefined;
  /** A tag on the manifest that keeps it. */
  readonly keeping: string | undefined;
};

/**
 * What of the content would refuse a pull, a push, a deletion or a restore, in the order in which requests meet it.
 * Source: ACR semantics, 4.3.
 */
export function createContentHindrances({ database, storageLimits }: ContentHindrancesParts): FindHindrances {
  return async (place) => {
    const standing = await standingOf(database.read, place);
    switch (place.action) {
      case 'pull':
        return [...atRepository(place, standing, 'readEnabled'), ...atContent(place, standing, 'readEnabled')];
      case 'push':
        return [
          ...atRepository(place, standing, 'writeEnabled'),
          ...atTag(place, standing, 'writeEnabled'),
          ...writtenOnce(place, standing),
          ...(await full(database.read, place.registry, storageLimits)),
        ];
      case 'delete':
        return [
          ...atRepository(place, standing, 'writeEnabled'),
          ...wholeRepository(place, standing),
          ...atContent(place, standing, 'writeEnabled', 'deleteEnabled'),
          ...keptFromDeletion(place, standing),
        ];
      case 'deleted_restore':
        return atRepository(place, standing, 'writeEnabled');
      default:
        return [];
    }
  };
}

async function standingOf(queries: Queries, { registry, repository, reference }: HinderedPlace): Promise<Standing> {
  const row = await fromRepository(queries, { registry: registry.uid, repository })
    .select(['r.uid', 'r.locks', 'g.immutable_tags as immutableTags', 'r.immutable_tags as ownImmutableTags'])
    .executeTakeFirst();
  const columns = { immutableTags: row?.immutableTags ?? '[]', ownImmutableTags: row?.ownImmutableTags ?? '[]' };
  const immutable = immutableTagsOf(columns, repository);
  const uid = row?.uid ?? '';
  const tag = reference?.kind === 'tag' ? await tagAt(queries, uid, reference.tag) : undefined;
  const digest = reference?.kind === 'digest' ? reference.digest : tag?.digest;
  const manifest = digest === undefined ? undefined : await manifestAt(queries, uid, digest);
  const isNamed = reference?.kind === 'digest' && manifest !== undefined;
  return {
    repositoryLocks: row?.locks ?? 0,
    immutable,
    tag:
      reference?.kind === 'tag'
        ? { name: reference.tag, locks: tag?.locks ?? 0, isThere: tag !== undefined }
        : undefined,
    manifest,
    index: isNamed ? await indexOf(queries, uid, manifest.digest) : undefined,
    keeping: isNamed ? await keepingTag(queries, uid, manifest.digest, immutable) : undefined,
  };
}

async function tagAt(queries: Queries, repositoryUid: string, name: string) {
  return await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('name', '=', name)
    .select(['digest', 'locks'])
    .executeTakeFirst();
}

async function manifestAt(queries: Queries, repositoryUid: string, digest: string) {
  return await queries
    .selectFrom('manifests')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .select(['digest', 'locks'])
    .executeTakeFirst();
}

async function indexOf(queries: Queries, repositoryUid: string, digest: string): Promise<string | undefined> {
  const row = await queries
    .selectFrom('manifest_references')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .where('kind', '=', 'manifest')
    .select('manifest_digest')
    .limit(1)
    .executeTakeFirst();
  return row?.manifest_digest;
}

async function keepingTag(queries: Queries, repositoryUid: string, digest: string, immutable: ImmutableTags) {
  const rows = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .orderBy('name')
    .select(['name', 'locks'])
    .execute();
  return rows.find(({ name, locks }) => offOf(locks, 'writeEnabled', 'deleteEnabled') || immutable.keeps(name))?.name;
}

function atRepository({ registry, repository }: HinderedPlace, { repositoryLocks }: Standing, needed: AttributeName) {
  const off = offOf(repositoryLocks, needed);
  return off === undefined ? [] : [locked(`the repository ${repository}`, off, registry, repository)];
}

function atTag(place: HinderedPlace, { tag }: Standing, ...needed: readonly AttributeName[]): Hindrance[] {
  const off = tag && offOf(tag.locks, ...needed);
  const image = `${place.repository}:${tag?.name}`;
  return off === undefined ? [] : [locked(`the tag ${image}`, off, place.registry, image, 'image')];
}

/** A tag is looked at with its manifest where both count: deleting a tag leaves the manifest. */
function atContent(place: HinderedPlace, standing: Standing, ...needed: readonly AttributeName[]): Hindrance[] {
  const { manifest, tag } = standing;
  const isLeft = place.action === 'delete' && tag !== undefined;
  const off = manifest === undefined || isLeft ? undefined : offOf(manifest.locks, ...needed);
  const image = `${place.repository}@${manifest?.digest}`;
  const ofManifest = off === undefined ? [] : [locked(`the manifest ${image}`, off, place.registry, image, 'image')];
  return [...atTag(place, standing, ...needed), ...ofManifest];
}

function wholeRepository({ registry, repository, reference }: HinderedPlace, { repositoryLocks }: Standing) {
  const off = offOf(repositoryLocks, 'deleteEnabled');
  if (off === undefined || reference !== undefined) return [];
  const hindrance = locked(`the repository ${repository}`, off, registry, repository);
  return [{ ...hindrance, by: `${hindrance.by}: it cannot be deleted as a whole`, isCertain: false }];
}

const rulesRemedy = 'Use another tag; the rules are in policies.immutableTagsPolicy of the registry.';

function writtenOnce({ repository }: HinderedPlace, { tag, immutable }: Standing): Hindrance[] {
  if (tag === undefined || !immutable.holds(tag.name)) return [];
  const by = `a rule for immutable tags, which holds for ${repository}:${tag.name}`;
  const reason = tag.isThere
    ? `the tag ${repository}:${tag.name} is there already and is written once`
    : 'it can be pushed once';
  return [{ by, reason, remedy: rulesRemedy, isCertain: tag.isThere }];
}

function keptFromDeletion({ repository }: HinderedPlace, { tag, index, keeping, immutable }: Standing): Hindrance[] {
  const isKept = tag !== undefined && immutable.keeps(tag.name);
  const name = isKept ? tag.name : keeping;
  return [
    ...(name === undefined
      ? []
      : [
          {
            by: `the tag ${repository}:${name}`,
            reason: `the tag ${repository}:${name} is kept from deletion, by a lock or a rule for immutable tags`,
            remedy:
              'Unlock it with az acr repository update; the rules are in policies.immutableTagsPolicy of the registry.',
            isCertain: true,
          },
        ]),
    ...(index === undefined
      ? []
      : [
          {
            by: `the index ${index}`,
            reason: `the manifest is part of the index ${repository}@${index}`,
            remedy: 'Delete the index first.',
            isCertain: true,
          },
        ]),
  ];
}

async function full(
  queries: Queries,
  { uid, name, sku, storageLimitBytes }: Registry,
  limits: StorageLimits | undefined,
): Promise<Hindrance[]> {
  const limitBytes = storageLimitBytes ?? limits?.[sku];
  const row = await queries
    .selectFrom('registry_usage')
    .where('registry_uid', '=', uid)
    .select('bytes')
    .executeTakeFirst();
  if (limitBytes === undefined || row === undefined || row.bytes < limitBytes) return [];
  return [
    {
      by: 'the storage limit',
      reason: `${name} has ${row.bytes} bytes in use, and may have ${limitBytes}`,
      remedy: 'Delete what is no longer needed, or raise the limit.',
      isCertain: true,
    },
  ];
}

function offOf(locks: Locks, ...needed: readonly AttributeName[]): AttributeName | undefined {
  const attributes = attributesOf(locks);
  return needed.find((name) => !attributes[name]);
}

function locked(
  what: string,
  off: AttributeName,
  { name }: Registry,
  value: string,
  option: 'repository' | 'image' = 'repository',
): Hindrance {
  const flag = off.replace('Enabled', '-enabled');
  return {
    by: `the lock ${off}: false`,
    reason: `${what} is locked: ${off} is off`,
    remedy: `Unlock it: az acr repository update -n ${name} --${option} ${value} --${flag} true.`,
    isCertain: true,
  };
}
