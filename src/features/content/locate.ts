import { BerthError } from '../../core/errors.ts';
import type { Queries } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from './place.ts';
import { fromRepository } from './repository-store.ts';

/**
 * The uid of a repository that holds a manifest, which is when it is known; confirms the caller's authority on the way.
 * Throws `nameUnknown`.
 */
export async function locate(queries: Queries, place: Place, authority: Authority): Promise<string> {
  const row = await fromRepository(queries, { registry: place.registryUid, repository: place.repository })
    .select((select) => [
      'r.uid',
      select
        .selectFrom('manifests as m')
        .whereRef('m.repository_uid', '=', 'r.uid')
        .select('m.digest')
        .limit(1)
        .as('held'),
    ])
    .executeTakeFirst();
  if (row === undefined) throw new BerthError('registryUnknown');
  await authority.confirm(row.epoch);
  if (row.uid === null || row.held === null) throw new BerthError('nameUnknown', { name: place.repository });
  return row.uid;
}
