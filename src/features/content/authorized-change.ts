import { isDeepStrictEqual } from 'node:util';
import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import type { Append, AtLast, Journal } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Sku } from '../registries/registry.ts';
import type { Locks } from './attributes.ts';
import type { Place } from './place.ts';
import { RecentRepositories } from './recent-repositories.ts';
import { createRepositoryGate } from './repository-gate.ts';
import { fromRepository, isRepositoryMade } from './repository-store.ts';
import { askForBeginning, type RepositoryBeginning } from './repository-templates.ts';

/** What the body of a change gets. `repositoryUid` is undefined while the repository does not exist. */
export type Change = {
  readonly tx: Transaction;
  readonly append: Append;
  readonly atLast: AtLast;
  readonly repositoryUid: string | undefined;
  /** What a repository of this name begins with, for whoever makes it; stays until the commit. */
  readonly beginning: () => Promise<RepositoryBeginning>;
  /** For who writes the repository's own row: the next change reads it first. */
  readonly reread: () => void;
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

/** A change went by what was known of its repository, and that is so no longer. */
class StaleGuess extends Error {}

/**
 * Reads the tenant's epoch first in each change; when it is newer than the authority's, the change is rolled back, the
 * authority decides again (throws `unauthorized` or `denied`), and the change runs anew. In PostgreSQL a change of a repository that was
 * changed here lately goes by what was read then and waits for what it reads itself with the answers to its own statements; where that
 * is something else, it is rolled back and runs anew, once. Throws `registryUnknown` when the registry is gone.
 */
export function createAuthorizedChange(database: Database, journal: Journal): AuthorizedChange {
  const begin = createBegin(database);
  const recent = new RecentRepositories<RepositoryRow>();
  const mayGuess = database.kind === 'postgres';
  return async (place, authority, work, { isExclusive = false } = {}) => {
    const reread = () => recent.forget(place);
    let guess = mayGuess ? recent.find(place) : undefined;
    return await untilCurrent(async () => {
      const known = guess;
      guess = undefined;
      return await journal.transaction(async (tx, append, atLast) => {
        const mayBeNew = mayGuess && known === undefined;
        const { row, beginning } = await begin(tx, { place, authority }, { isExclusive, mayBeNew });
        const changeOf = (facts: RepositoryRow) => ({ tx, append, atLast, beginning, reread, ...factsOf(facts) });
        if (known === undefined) {
          const now = await row();
          if (mayGuess && isWorthKeeping(now)) recent.keep(place, now);
          return await work(changeOf(now));
        }
        const [outcome] = await Promise.allSettled([work(changeOf(known))]);
        if (!(await isStill(row, known))) {
          recent.forget(place);
          throw new StaleGuess(`what was known of ${place.repository} has changed`);
        }
        if (outcome.status === 'rejected') throw outcome.reason;
        return outcome.value;
      });
    });
  };
}

/** Rules may be long, and each repository has its own copy. */
const longestRules = 2_000;

function isWorthKeeping({ repositoryUid, immutableTags, ownImmutableTags }: RepositoryRow): boolean {
  return repositoryUid !== null && immutableTags.length + (ownImmutableTags?.length ?? 0) <= longestRules;
}

/** Throws StaleAuthority, and what says that the database is busy. Where a statement beside it failed, nobody knows. */
async function isStill(row: () => Promise<RepositoryRow>, guess: RepositoryRow): Promise<boolean> {
  try {
    return isDeepStrictEqual({ ...(await row()), epoch: guess.epoch }, guess);
  } catch (error) {
    if (error instanceof StaleAuthority || error instanceof BerthError) throw error;
    return false;
  }
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
          for (const target of inOrder) {
            const { row, beginning } = await begin(tx, target, { isExclusive, mayBeNew: false });
            const facts = factsOf(await row());
            changes.push({ ...target, change: { tx, append, atLast, beginning, reread: () => {}, ...facts } });
          }
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
      else if (!(error instanceof StaleGuess || isRepositoryMade(error))) throw error;
    }
  }
}

type BeginOptions = {
  readonly isExclusive: boolean;
  /** What makes it is asked for at once. */
  readonly mayBeNew: boolean;
};

type Begun = Pick<Change, 'beginning'> & {
  /** Waits for what is read; throws `registryUnknown`, StaleAuthority. */
  readonly row: () => Promise<RepositoryRow>;
};

type Begin = (tx: Transaction, target: ChangeTarget, options: BeginOptions) => Promise<Begun>;

function createBegin(database: Database): Begin {
  const pass = createRepositoryGate(database);
  const read = createRead(database);
  return async (tx, { place, authority }, { isExclusive, mayBeNew }) => {
    const at = { registry: place.registryUid, repository: place.repository };
    await pass(tx, at, isExclusive);
    const rows = await read.ahead(tx, at);
    const askBeginning = async () => {
      // Whoever makes it reads the templates, which stay until the commit.
      await pass(tx, { ...at, repository: '' }, false);
      return await askForBeginning(tx, place);
    };
    const asked = mayBeNew ? await askBeginning() : undefined;
    return {
      row: async () => {
        const [row] = await rows();
        if (row === undefined) throw new BerthError('registryUnknown');
        if (row.epoch > authority.epoch()) throw new StaleAuthority(authority, row.epoch);
        return row;
      },
      beginning: async () => await (asked ?? (await askBeginning()))(),
    };
  };
}

type RepositoryRow = NonNullable<Awaited<ReturnType<ReturnType<typeof createRead>>>>;

function factsOf(row: RepositoryRow): Pick<Change, 'repositoryUid' | 'repositoryLocks' | 'registry'> {
  const { sku, storageLimitBytes, immutableTags, ownImmutableTags, retentionDays, keepsDeleted } = row;
  return {
    repositoryUid: row.repositoryUid ?? undefined,
    repositoryLocks: row.locks ?? 0,
    registry: {
      sku,
      storageLimitBytes,
      immutableTags,
      ownImmutableTags: ownImmutableTags ?? '[]',
      retentionDays,
      keepsDeleted: keepsDeleted === 1,
    },
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
      // Deletions in slices change it as they begin: no push goes by a time from before that.
      'r.changed_at as changedAt',
    ]),
  );
}
