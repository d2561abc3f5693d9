import { setImmediate as breathe } from 'node:timers/promises';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { Deletions } from '../content/deletions.ts';
import { FreedBytes } from './freed-bytes.ts';
import { isGeneral } from './general-faults.ts';
import type { Kept } from './lifecycle-selection.ts';
import { readRepositoryFacts } from './purge-facts.ts';
import type { PurgeFilter } from './purge-filter.ts';
import { type PurgeRule, type PurgeSelection, type RepositoryFacts, selectPurge } from './purge-selection.ts';
import { breathing, filtered, type Sliced } from './sliced.ts';
import { type PurgeItem, previewSelection, type Taking, takeSelection } from './take-selection.ts';

export type PurgeParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly deletions: Deletions;
};

export type PurgeRequest = {
  readonly registryUid: string;
  /** None means every repository, with `untagged: 'only'`. */
  readonly filters: readonly PurgeFilter[];
  /** Milliseconds; what changed since stays. */
  readonly ageMs: number;
  readonly keep: number;
  readonly untagged: 'none' | 'also' | 'only';
  readonly includesLocked: boolean;
  readonly isDryRun: boolean;
  readonly signal: AbortSignal;
};

/** A manifest that came without a tag may be part of an index that is being pushed. */
export const freshMicros = 3_600_000_000;

/**
 * Purges repository by repository, in the order of their names, and tells of each item as it goes. What a dry run lists is what
 * a run takes of the same content. Each item is looked at again when its turn comes: one that was tagged, moved or locked
 * meanwhile stays. Cut off anywhere, everything deleted so far is deleted whole. Throws `purgeInvalid`, `denied`, `unauthorized`.
 */
export function purge(parts: PurgeParts, authority: Authority, request: PurgeRequest): AsyncGenerator<PurgeItem> {
  const { filters, untagged } = request;
  if (filters.length === 0 && untagged !== 'only')
    throw new BerthError('purgeInvalid', 'name what may be deleted: a filter, or untagged manifests only');
  return sweepRepositories(parts, authority, {
    ...request,
    takesRepository: (name) => filters.length === 0 || filters.some((filter) => filter.matchesRepository(name)),
    select: function* (facts, repository) {
      return { leaving: yield* selectPurge(facts, ruleOf(request, repository, parts.clock.nowMicros())), kept: [] };
    },
  });
}

/** One way through the repositories of a registry, whatever says what leaves. */
export type Sweep = {
  readonly registryUid: string;
  readonly takesRepository: (name: string) => boolean;
  readonly select: (
    facts: RepositoryFacts,
    repository: string,
  ) => Sliced<{ readonly leaving: PurgeSelection; readonly kept: readonly Kept[] }>;
  readonly includesLocked: boolean;
  readonly isDryRun: boolean;
  readonly signal: AbortSignal;
  /** Awaited now and then: between pages of what is looked at, and before each deletion. */
  readonly pause?: () => Promise<void>;
  readonly record?: Taking['record'];
  /** Only repositories whose names come after this. */
  readonly after?: string;
  readonly done?: (repository: string) => void;
  /** Told of a repository that cannot be looked at to its end; the others go on. Without it that is thrown at the end. */
  readonly failed?: (repository: string, error: unknown) => void;
};

/** Of what is told without asking the database. */
const itemsPerTurn = 500;

export async function* sweepRepositories(
  parts: PurgeParts,
  authority: Authority,
  sweep: Sweep,
): AsyncGenerator<PurgeItem> {
  const { registryUid, signal } = sweep;
  const { read } = parts.database;
  const problems: unknown[] = [];
  const { failed = (_, error) => problems.push(error) } = sweep;
  const freed = new FreedBytes(read, registryUid);
  const repositories = await repositoriesOf(read, registryUid, sweep.after ?? '');
  for await (const repository of filtered(repositories, ({ name }) => signal.aborted || sweep.takesRepository(name))) {
    if (signal.aborted) return;
    try {
      yield* sweepRepository(parts, authority, { sweep, repository, freed });
    } catch (error) {
      if (signal.aborted || isGeneral(error)) throw error;
      failed(repository.name, error);
    }
    if (!signal.aborted) sweep.done?.(repository.name);
  }
  if (problems.length > 0) throw new AggregateError(problems, 'repositories failed', { cause: problems[0] });
}

type OneRepository = {
  readonly sweep: Sweep;
  readonly repository: { readonly uid: string; readonly name: string };
  readonly freed: FreedBytes;
};

async function* sweepRepository(
  { database, deletions }: PurgeParts,
  authority: Authority,
  { sweep, repository: { uid, name }, freed }: OneRepository,
): AsyncGenerator<PurgeItem> {
  const { registryUid, signal, pause = async () => {}, record, includesLocked } = sweep;
  await pause();
  const place = { registryUid, repository: parseRepositoryName(name) };
  const facts = await readRepositoryFacts(database.read, uid, pause);
  const { leaving, kept } = await breathing(sweep.select(facts, name));
  for (const [index, item] of kept.entries()) {
    if (index % itemsPerTurn === 0) await breathe();
    yield { ...item, repository: name, outcome: 'kept', why: undefined, freedBytes: 0 };
  }
  const options = { ignoresLocks: includesLocked };
  const taking = { deletions, place, authority, signal, pause, record, options };
  yield* sweep.isDryRun ? previewSelection(place, uid, leaving, freed) : takeSelection(taking, leaving);
}

function ruleOf(request: PurgeRequest, repository: string, nowMicros: number): PurgeRule {
  const filters = request.filters.filter((filter) => filter.matchesRepository(repository));
  return {
    matchesTag: request.untagged === 'only' ? undefined : (name) => filters.some((filter) => filter.matchesTag(name)),
    takesUntagged: request.untagged !== 'none',
    beforeMicros: nowMicros - request.ageMs * 1000,
    freshSinceMicros: nowMicros - freshMicros,
    keep: request.keep,
    includesLocked: request.includesLocked,
  };
}

async function repositoriesOf(queries: Queries, registryUid: string, after: string) {
  return await queries
    .selectFrom('repositories')
    .where('registry_uid', '=', registryUid)
    .where('name', '>', after)
    .orderBy('name')
    .select(['uid', 'name'])
    .execute();
}
