import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import type { Append, AtLast, Journal } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Sku } from '../registries/registry.ts';
import type { Locks } from './attributes.ts';
import type { Place } from './place.ts';
import { createRepositoryGate } from './repository-gate.ts';
import { fromRepository, isRepositoryMade } from './repository-store.ts';

/** What the body of a change gets. `repositoryUid` is undefined while the repository does not exist. */
export type Change = {
  readonly tx: Transaction;
  readonly append: Append;
  readonly atLast: AtLast;
  readonly repositoryUid: string | undefined;
  /** Of the repository; they stay as they are until the commit. */
  readonly repositoryLocks: Locks;
  readonly registry: {
    readonly sku: Sku;
    /** Its own limit of bytes in use; null for that of its SKU. */
    readonly storageLimitBytes: number | null;
    /** After so many days a manifest without a tag leaves; null for never. */
    readonly retentionDays: number | null;
    /** Whether what is deleted can be restored for a while. */
    readonly keepsDeleted: boolean;
    /** JSON of its rules for tags that are written once. */
    readonly immutableTags: string;
    /** The same of the repository alone. */
    readonly ownImmutableTags: string;
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

/** A repository, and who may change it. */
export type ChangeTarget = { readonly place: Place; readonly authority: Authority };

/** The same over several repositories of a registry, all changed or none. `work` gets them in the order of their names. */
export type AuthorizedChanges = <T>(
  targets: readonly ChangeTarget[],
  work: (changes: readonly (ChangeTarget & { readonly change: Change })[]) => Promise<T>,
  options?: ChangeOptions,
) => Promise<T>;

/** The rights were decided at an older epoch than the one the transaction sees. */
class StaleAuthority extends Error {
  readonly authority: Authority;
  readonly currentEpoch: number;

  constructor(authority: Authority, currentEpoch: number) {
    super('the access epoch has moved');
    this.authority = authority;
    this.currentEpoch = currentEpoch;
  }
}

/**
 * Reads the tenant's epoch first in each change; when it is newer than the authority's, the change is rolled back, the
 * authority decides again (throws `unauthorized` or `denied`), and the change runs anew.
 * Throws `registryUnknown` when the registry is gone.
 */
export function createAuthorizedChange(database: Database, journal: Journal): AuthorizedChange {
  const begin = createBegin(database);
  return async (place, authority, work, { isExclusive = false } = {}) =>
    await untilCurrent(
      async () =>
        await journal.transaction(
          async (tx, append, atLast) =>
            await work(await begin({ tx, append, atLast }, { place, authority }, isExclusive)),
        ),
    );
}

/** As `createAuthorizedChange`. One order for all who change several: nobody waits in a circle. */
export function createAuthorizedChanges(database: Database, journal: Journal): AuthorizedChanges {
  const begin = createBegin(database);
  return async (targets, work, { isExclusive = false } = {}) => {
    const inOrder = [...targets].sort((a, b) => (a.place.repository < b.place.repository ? -1 : 1));
    return await untilCurrent(
      async () =>
        await journal.transaction(async (tx, append, atLast) => {
          const changes: (ChangeTarget & { readonly change: Change })[] = [];
          for (const target of inOrder)
            changes.push({ ...target, change: await begin({ tx, append, atLast }, target, isExclusive) });
          return await work(changes);
        }),
    );
  };
}

async function untilCurrent<T>(work: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StaleAuthority) await error.authority.confirm(error.currentEpoch);
      else if (!isRepositoryMade(error)) throw error;
    }
  }
}

type Begin = (
  transaction: Pick<Change, 'tx' | 'append' | 'atLast'>,
  target: ChangeTarget,
  isExclusive: boolean,
) => Promise<Change>;

function createBegin(database: Database): Begin {
  const pass = createRepositoryGate(database);
  const read = createRead(database);
  return async ({ tx, append, atLast }, { place, authority }, isExclusive) => {
    const at = { registry: place.registryUid, repository: place.repository };
    await pass(tx, at, isExclusive);
    const row = await read(tx, at);
    if (row === undefined) throw new BerthError('registryUnknown');
    if (row.epoch > authority.epoch()) throw new StaleAuthority(authority, row.epoch);
    // Whoever makes it reads the templates, which stay until the commit.
    if (row.repositoryUid === null) await pass(tx, { ...at, repository: '' }, false);
    const {
      repositoryUid,
      locks,
      sku,
      storageLimitBytes,
      immutableTags,
      ownImmutableTags,
      retentionDays,
      keepsDeleted,
    } = row;
    return {
      tx,
      append,
      atLast,
      repositoryUid: repositoryUid ?? undefined,
      repositoryLocks: locks ?? 0,
      registry: {
        sku,
        storageLimitBytes,
        immutableTags,
        ownImmutableTags: ownImmutableTags ?? '[]',
        retentionDays,
        keepsDeleted: keepsDeleted === 1,
      },
    };
  };
}

/** Registry, epoch and repository; one row whenever the registry exists. */
function createRead(database: Database) {
  return hotQuery(database.read, ['registry', 'repository'], (queries, parameter) =>
    fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') }).select([
      'g.sku',
      'g.storage_limit as storageLimitBytes',
      'g.immutable_tags as immutableTags',
      'g.retention_days as retentionDays',
      'g.keeps_deleted as keepsDeleted',
      'r.uid as repositoryUid',
      'r.locks',
      'r.immutable_tags as ownImmutableTags',
    ]),
  );
}
