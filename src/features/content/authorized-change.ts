import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import type { Append, Journal } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from './place.ts';
import { fromRepository } from './repository-store.ts';

/** What the body of a change gets. `repositoryUid` is undefined while the repository does not exist. */
export type Change = {
  readonly tx: Transaction;
  readonly append: Append;
  readonly repositoryUid: string | undefined;
};

/** Runs a change of content in one transaction that holds only at the access epoch its caller was allowed at. */
export type AuthorizedChange = <T>(
  place: Place,
  authority: Authority,
  work: (change: Change) => Promise<T>,
) => Promise<T>;

/** The rights were decided at an older epoch than the one the transaction sees. */
class StaleAuthority extends Error {
  readonly currentEpoch: number;

  constructor(currentEpoch: number) {
    super('the access epoch has moved');
    this.currentEpoch = currentEpoch;
  }
}

/**
 * Reads the tenant's epoch as the first statement of each change; when it is newer than the authority's, the change is
 * rolled back, the authority decides again (throws `unauthorized` or `denied`), and the change runs anew.
 * Throws `registryUnknown` when the registry is gone.
 */
export function createAuthorizedChange(database: Database, journal: Journal): AuthorizedChange {
  const epochAndRepository = hotQuery(database.read, ['registry', 'repository'], (queries, parameter) =>
    fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') }).select(
      'r.uid as repositoryUid',
    ),
  );
  return async (place, authority, work) => {
    while (true) {
      try {
        return await journal.transaction(async (tx, append) => {
          const row = await epochAndRepository(tx, { registry: place.registryUid, repository: place.repository });
          if (row === undefined) throw new BerthError('registryUnknown');
          if (row.epoch > authority.epoch()) throw new StaleAuthority(row.epoch);
          return await work({ tx, append, repositoryUid: row.repositoryUid ?? undefined });
        });
      } catch (error) {
        if (!(error instanceof StaleAuthority)) throw error;
        await authority.confirm(error.currentEpoch);
      }
    }
  };
}
