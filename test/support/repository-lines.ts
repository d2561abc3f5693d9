import type { Place } from '../../src/features/content/place.ts';
import type { Queries } from '../../src/platform/database/database.ts';

/** What the rows of a repository say, in the words of `RepositoryModel.lines`; bytes in use are those of its registry. */
export async function repositoryLines(
  queries: Queries,
  { registryUid, repository }: Place,
): Promise<readonly string[]> {
  const known = await queries
    .selectFrom('repositories')
    .where('registry_uid', '=', registryUid)
    .where('name', '=', repository)
    .select('uid')
    .executeTakeFirst();
  const of = known?.uid ?? '';
  const [manifests, tags, kept, keptTags, marks, usage] = await Promise.all([
    queries.selectFrom('manifests').where('repository_uid', '=', of).select(['digest', 'locks']).execute(),
    queries.selectFrom('tags').where('repository_uid', '=', of).select(['name', 'digest']).execute(),
    queries
      .selectFrom('deleted_manifests')
      .where('repository_uid', '=', of)
      .select(['digest', 'deleted_at as at'])
      .execute(),
    queries
      .selectFrom('deleted_tags')
      .where('repository_uid', '=', of)
      .select(['name', 'digest', 'deleted_at as at'])
      .execute(),
    queries.selectFrom('untagged_manifests').where('repository_uid', '=', of).select(['digest', 'since']).execute(),
    queries.selectFrom('registry_usage').where('registry_uid', '=', registryUid).select('bytes').executeTakeFirst(),
  ]);
  return [
    ...manifests.map(({ digest, locks }) => `manifest ${digest}${locks === 0 ? '' : ' locked'}`),
    ...tags.map(({ name, digest }) => `tag ${name} ${digest}`),
    ...kept.map(({ digest, at }) => `kept manifest ${digest} ${at / 1000}`),
    ...keptTags.map(({ name, digest, at }) => `kept tag ${name} ${digest} ${at / 1000}`),
    ...marks.map(({ digest, since }) => `mark ${digest} ${since / 1000}`),
    `bytes in use ${usage?.bytes ?? 0}`,
  ].toSorted();
}
