import { isDeepStrictEqual } from 'node:util';
import { BerthError } from '../../core/errors.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery } from '../../platform/database/hot-query.ts';
import type { Append, Explain, Journal } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Sku } from '../registries/registry.ts';
import type { Locks } from './attributes.ts';
import type { Place } from './place.ts';
import { factColumns, RecentRepositories, type RepositoryFacts } from './recent-repositories.ts';
import { createRepositoryGate } from './repository-gate.ts';
import { fromRepository, isRepositoryMade } from './repository-store.ts';

/** What the body of a change gets. `repositoryUid` is undefined while the repository does not exist. */
export type Change = {
  readonly tx: Transaction;
  readonly append: Append;
  readonly explain: Explain;
  readonly repositoryUid: string | undefined;
  /** For who makes the repository: the registry's templates stay until the commit. Sent ahead, as the gate that it is. */
  readonly passTemplates: () => Promise<void>;
  /** For who writes the repository's own row: as what, so that the next change goes by it; without that it is read first. */
  readonly rewritten: (as?: () => Promise<Partial<RepositoryFacts>>) => void;
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
export function createAuthorizedChange(
  database: Database,
  journal: Journal,
  recent = new RecentRepositories(),
): AuthorizedChange {
  const begin = createBegin(database);
  const mayGuess = database.kind === 'postgres';
  return async (place, authority, work, { isExclusive = false } = {}) => {
    let guess = mayGuess ? recent.find(place) : undefined;
    return await untilCurrent(async () => {
      const known = guess;
      guess = undefined;
      const { result, left } = await journal.transaction(async (tx, append, explain) => {
        const { row, passTemplates } = await begin(tx, { place, authority }, isExclusive);
        const facts = known ?? (await row());
        let leave = async (): Promise<RepositoryFacts | undefined> => facts;
        const rewritten: Change['rewritten'] = (as) => {
          leave = async () => as && { ...facts, ...(await as()) };
        };
        const changing = work({ tx, append, explain, passTemplates, rewritten, ...factsOf(facts) });
        if (known !== undefined) {
          await Promise.allSettled([changing]);
          if (!(await isStill(row, known))) {
            recent.keep(place, undefined);
            throw new StaleGuess(`what was known of ${place.repository} has changed`);
          }
        }
        const result = await changing;
        return { result, left: await leave() };
      });
      if (mayGuess) recent.keep(place, left);
      return result;
    });
  };
}

/** Throws StaleAuthority, and what says that the database is busy. Where a statement beside it failed, nobody knows. */
async function isStill(row: () => Promise<RepositoryFacts>, guess: RepositoryFacts): Promise<boolean> {
  try {
    return isDeepStrictEqual(await row(), guess);
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
        await journal.transaction(async (tx, append, explain) => {
          const changes: (ChangeTarget & { readonly change: Change })[] = [];
          for (const target of inOrder) {
            const { row, passTemplates } = await begin(tx, target, isExclusive);
            const facts = factsOf(await row());
            changes.push({ ...target, change: { tx, append, explain, passTemplates, rewritten: () => {}, ...facts } });
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

type Begun = Pick<Change, 'passTemplates'> & {
  /** Waits for what is read; throws `registryUnknown`, StaleAuthority. */
  readonly row: () => Promise<RepositoryFacts>;
};

type Begin = (tx: Transaction, target: ChangeTarget, isExclusive: boolean) => Promise<Begun>;

function createBegin(database: Database): Begin {
  const pass = createRepositoryGate(database);
  const read = createRead(database);
  return async (tx, { place, authority }, isExclusive) => {
    const at = { registry: place.registryUid, repository: place.repository };
    await pass(tx, at, isExclusive);
    const rows = await read.ahead(tx, at);
    return {
      row: async () => {
        const [row] = await rows();
        if (row === undefined) throw new BerthError('registryUnknown');
        const { epoch, ...facts } = row;
        if (epoch > authority.epoch()) throw new StaleAuthority(authority, epoch);
        return facts;
      },
      passTemplates: async () => await pass(tx, { ...at, repository: '' }, false),
    };
  };
}

function factsOf(facts: RepositoryFacts): Pick<Change, 'repositoryUid' | 'repositoryLocks' | 'registry'> {
  const { sku, storageLimitBytes, immutableTags, ownImmutableTags, retentionDays, keepsDeleted } = facts;
  return {
    repositoryUid: facts.repositoryUid ?? undefined,
    repositoryLocks: facts.locks ?? 0,
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
    fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') }).select(
      factColumns,
    ),
  );
}
