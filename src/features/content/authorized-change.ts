import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import { lockedForShare, lockedForUpdate } from '../../platform/database/locks.ts';
import type { Append, Journal } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Sku } from '../registries/registry.ts';
import type { Locks } from './attributes.ts';
import type { Place } from './place.ts';

/** What the body of a change gets. `repositoryUid` is undefined while the repository does not exist. */
export type Change = {
  readonly tx: Transaction;
  readonly append: Append;
  readonly repositoryUid: string | undefined;
  /** Of the repository; they stay as they are until the commit. */
  readonly repositoryLocks: Locks;
  readonly registry: {
    readonly sku: Sku;
    /** After so many days a manifest without a tag leaves; null for never. */
    readonly retentionDays: number | null;
    /** JSON of its rules for tags that are written once. */
    readonly immutableTags: string;
  };
};

export type ChangeOptions = {
  /** Others that change the repository wait: for its own attributes, and for deletions, which look at all that is in it. */
  readonly isExclusive?: boolean;
};

/** Runs a change of content in one transaction that holds only at the access epoch its caller was allowed at. */
export type AuthorizedChange = <T>(
  place: Place,
  authority: Authority,
  work: (change: Change) => Promise<T>,
  options?: ChangeOptions,
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
  const readShared = createRead(database, lockedForShare);
  const readExclusive = createRead(database, lockedForUpdate);
  return async (place, authority, work, { isExclusive = false } = {}) => {
    const read = isExclusive ? readExclusive : readShared;
    while (true) {
      try {
        return await journal.transaction(async (tx, append) => {
          const row = await read(tx, { registry: place.registryUid, repository: place.repository });
          if (row === undefined) throw new BerthError('registryUnknown');
          if (row.epoch > authority.epoch()) throw new StaleAuthority(row.epoch);
          const { repositoryUid, locks, sku, immutableTags, retentionDays } = row;
          return await work({
            tx,
            append,
            repositoryUid: repositoryUid ?? undefined,
            repositoryLocks: locks ?? 0,
            registry: { sku, immutableTags, retentionDays },
          });
        });
      } catch (error) {
        if (!(error instanceof StaleAuthority)) throw error;
        await authority.confirm(error.currentEpoch);
      }
    }
  };
}

/** Registry, epoch and repository, whose row is locked; one row whenever the registry exists. */
function createRead(database: Database, locked: typeof lockedForShare) {
  return hotQuery(database.read, ['registry', 'repository'], (queries, parameter) => {
    const repository = queries
      .selectFrom('repositories')
      .where('registry_uid', '=', parameter('registry'))
      .where('name', '=', parameter('repository'))
      .select(['uid', 'locks']);
    return queries
      .selectFrom('registries as g')
      .innerJoin('tenants as t', 't.uid', 'g.tenant_uid')
      .leftJoin(locked(database.kind, repository).as('r'), (join) => join.onTrue())
      .where('g.uid', '=', parameter('registry'))
      .select([
        't.access_epoch as epoch',
        'g.sku',
        'g.immutable_tags as immutableTags',
        'g.retention_days as retentionDays',
        'r.uid as repositoryUid',
        'r.locks',
      ]);
  });
}
