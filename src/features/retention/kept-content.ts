import { BerthError } from '../../core/errors.ts';
import type { Queries } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from '../content/place.ts';
import { fromRepository } from '../content/repository-store.ts';

/** The uid of a repository, though nothing in it may be served any more. Throws `registryUnknown`, `nameUnknown`. */
export async function locateKept(
  queries: Queries,
  { registryUid, repository }: Place,
  authority: Authority,
): Promise<string> {
  const row = await fromRepository(queries, { registry: registryUid, repository }).select('r.uid').executeTakeFirst();
  if (row === undefined) throw new BerthError('registryUnknown');
  await authority.confirm(row.epoch);
  if (row.uid === null) throw new BerthError('nameUnknown', { name: repository });
  return row.uid;
}

/** Deleted manifests of a repository that can be restored: those that are not served. */
export function keptManifests(queries: Queries, repositoryUid: string) {
  return queries
    .selectFrom('deleted_manifests as d')
    .where('d.repository_uid', '=', repositoryUid)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('manifests as m')
            .whereRef('m.repository_uid', '=', 'd.repository_uid')
            .whereRef('m.digest', '=', 'd.digest')
            .select('m.digest'),
        ),
      ),
    );
}
