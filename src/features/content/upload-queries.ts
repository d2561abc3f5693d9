import type { Database } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import { factColumns } from './recent-repositories.ts';
import { fromRepository } from './repository-store.ts';

export type UploadQueries = ReturnType<typeof createUploadQueries>;

/**
 * `find`: an upload's row by its uid, beside the tenant's current access epoch, what a change of its repository goes by, and the
 * registry's good copy of a digest; one row whenever the registry exists. `copy`: that copy alone.
 */
export function createUploadQueries(database: Database) {
  return {
    find: hotQuery(database.read, ['registry', 'repository', 'uid', 'digest'], (queries, parameter) =>
      fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') })
        .leftJoin('uploads as u', (join) =>
          join.onRef('u.registry_uid', '=', 'g.uid').on('u.uid', '=', parameter('uid')),
        )
        .leftJoin('blobs as b', (join) =>
          join
            .onRef('b.registry_uid', '=', 'g.uid')
            .on('b.digest', '=', parameter('digest'))
            .on('b.state', '=', 'ready'),
        )
        .select([
          ...factColumns,
          'u.handle',
          'u.offset',
          'u.parts',
          'u.fence',
          'u.lease_owner as holder',
          'b.storage_key as copyKey',
          'b.size as copySize',
          'b.grace_until as copyGrace',
        ]),
    ),
    copy: hotQuery(database.read, ['registry', 'digest'], (queries, parameter) =>
      queries
        .selectFrom('blobs')
        .where('registry_uid', '=', parameter('registry'))
        .where('digest', '=', parameter('digest'))
        .where('state', '=', 'ready')
        .select(['storage_key as storageKey', 'size', 'grace_until as graceUntilMicros']),
    ),
  };
}
