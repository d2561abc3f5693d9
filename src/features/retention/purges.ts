import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { readRepositoryFacts } from './purge-facts.ts';
import type { PurgeFilter } from './purge-filter.ts';
import { type PurgeRule, selectPurge } from './purge-selection.ts';

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

/** One thing that a purge takes, or would take in a dry run; `skipped` says why it stayed after all. */
export type PurgeItem = {
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string;
  /** The rule that decided. */
  readonly reason: string;
  readonly outcome: 'deleted' | 'wouldDelete' | 'changed' | 'skipped';
  readonly why: string | undefined;
};

/**
 * Purges repository by repository, in the order of their names, and tells of each item as it goes. What a dry run lists is what
 * a run takes of the same content. Each item is looked at again when its turn comes: one that was tagged, moved or locked
 * meanwhile stays. Cut off anywhere, everything deleted so far is deleted whole. Throws `purgeInvalid`, `denied`, `unauthorized`.
 */
export function purge(parts: PurgeParts, authority: Authority, request: PurgeRequest): AsyncGenerator<PurgeItem> {
  if (request.filters.length === 0 && request.untagged !== 'only')
    throw new BerthError('purgeInvalid', 'name what may be deleted: a filter, or untagged manifests only');
  return purgeRepositories(parts, authority, request);
}

async function* purgeRepositories(
  parts: PurgeParts,
  authority: Authority,
  request: PurgeRequest,
): AsyncGenerator<PurgeItem> {
  for (const { uid, name } of await repositoriesOf(parts.database, request)) {
    if (request.signal.aborted) return;
    const place = { registryUid: request.registryUid, repository: parseRepositoryName(name) };
    yield* purgeRepository(parts, authority, request, { place, repositoryUid: uid });
  }
}

async function* purgeRepository(
  parts: PurgeParts,
  authority: Authority,
  request: PurgeRequest,
  { place, repositoryUid }: { readonly place: Place; readonly repositoryUid: string },
): AsyncGenerator<PurgeItem> {
  const facts = await readRepositoryFacts(parts.database.read, repositoryUid);
  const { tags, manifests } = selectPurge(facts, ruleOf(request, place.repository, parts.clock.nowMicros()));
  const common = { repository: place.repository };
  const options = { ignoresLocks: request.includesLocked };
  for (const { tag, reason } of tags) {
    if (request.signal.aborted) return;
    const item = { ...common, tag: tag.name, digest: tag.digest, reason };
    yield await settled(request, item, async () => {
      return await parts.deletions.unchangedTag(place, authority, tag, options);
    });
  }
  for (const { manifest, reason } of manifests) {
    if (request.signal.aborted) return;
    const digest = parseDigest(manifest.digest);
    const item = { ...common, tag: undefined, digest, reason };
    yield await settled(request, item, async () => {
      const seen = { digest, changedAtMicros: manifest.changedAtMicros };
      return (await parts.deletions.untaggedManifest(place, authority, seen, options)) === 'deleted';
    });
  }
}

async function settled(
  { isDryRun }: PurgeRequest,
  item: Omit<PurgeItem, 'outcome' | 'why'>,
  remove: () => Promise<boolean>,
): Promise<PurgeItem> {
  if (isDryRun) return { ...item, outcome: 'wouldDelete', why: undefined };
  try {
    return { ...item, outcome: (await remove()) ? 'deleted' : 'changed', why: undefined };
  } catch (error) {
    if (!(error instanceof BerthError)) throw error;
    if (unknown.has(error.error)) return { ...item, outcome: 'changed', why: undefined };
    if (kept.has(error.error)) return { ...item, outcome: 'skipped', why: error.message };
    throw error;
  }
}

/** A manifest that came without a tag may be part of an index that is being pushed. */
const freshMicros = 3_600_000_000;

const unknown: ReadonlySet<string> = new Set(['nameUnknown', 'tagUnknown', 'manifestUnknown']);
const kept: ReadonlySet<string> = new Set(['contentLocked', 'tagImmutable', 'manifestReferenced']);

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

async function repositoriesOf({ read }: Database, { registryUid, filters }: PurgeRequest) {
  const rows = await read
    .selectFrom('repositories')
    .where('registry_uid', '=', registryUid)
    .orderBy('name')
    .select(['uid', 'name'])
    .execute();
  return rows.filter(({ name }) => filters.length === 0 || filters.some((filter) => filter.matchesRepository(name)));
}
