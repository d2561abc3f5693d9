import { BerthError } from '../../core/errors.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import type { Authority } from '../access/authority.ts';
import { isVisible } from '../access/decision.ts';
import type { PurgeFilter } from '../retention/purge-filter.ts';
import { purge } from '../retention/purges.ts';
import type { PurgeItem } from '../retention/take-selection.ts';
import type { BuiltInCall, BuiltInParts } from './built-in-call.ts';
import { PurgeHeadings } from './purge-headings.ts';
import { type PurgeWords, parsePurgeWords } from './purge-words.ts';
import { reasonOf, standingOf } from './run-standing.ts';
import { withPauses } from './with-pauses.ts';

const dryRunHeader =
  'DRY RUN: The following output shows what WOULD be deleted if the purge command was executed. Nothing is deleted.';

/** While nothing leaves, lines of what is looked at come so often. */
const tellEveryMs = 300;

/** `acr purge`. Throws `purgeInvalid`, and what `standingOf` does. Source: ACR tasks, 5.6. */
export async function* runPurge(
  parts: BuiltInParts,
  call: BuiltInCall,
  given: readonly string[],
): AsyncGenerator<BuiltInLine> {
  const words = parsePurgeWords(given);
  const wanted = { registry: words.registry, action: 'catalogList' } as const;
  const { registry, authority: standing, end } = await standingOf(parts, call, wanted);
  if (words.isDryRun) yield { line: dryRunHeader };
  for (const line of words.notes) yield { line };
  const totals = { tags: 0, manifests: 0 };
  const headings = new PurgeHeadings(words);
  let failure: string | undefined;
  try {
    const { filters, authority } = limited(standing, words, (repository) => headings.begin(repository));
    const request = { ...words, filters, registryUid: registry.uid, signal: call.signal };
    for await (const item of withPauses(purge(parts, authority, request), parts.clock, tellEveryMs)) {
      for (const line of item === undefined ? headings.begun() : headings.before(item)) yield { line };
      if (item === undefined) continue;
      yield { line: textOf(item, registry.loginServer) };
      const isTaken = item.outcome === 'deleted' || item.outcome === 'wouldDelete' || item.outcome === 'changed';
      if (isTaken) totals[item.tag === undefined ? 'manifests' : 'tags'] += 1;
    }
  } catch (error) {
    failure = reasonOf(parts.log, error);
  } finally {
    await end();
  }
  for (const line of headings.rest()) yield { line };
  if (failure !== undefined) yield { line: `Failed to complete purge: ${failure}` };
  yield { line: '' };
  const label = (what: string) => (words.isDryRun ? `Number of ${what} to be deleted` : `Number of deleted ${what}`);
  yield { line: `${label('tags')}: ${totals.tags}` };
  yield { line: `${label('manifests')}: ${totals.manifests}` };
  yield { exitCode: failure === undefined && !call.signal.aborted ? 0 : 1 };
}

function textOf({ outcome, repository, tag, digest, why }: PurgeItem, host: string): string {
  const name = `${host}/${repository}${tag === undefined ? `@${digest}` : `:${tag}`}`;
  switch (outcome) {
    case 'deleted':
      return `Deleted ${name}`;
    case 'wouldDelete':
      return `Would delete: ${name}`;
    case 'changed':
      return `Skipped ${name}, HTTP status: 404`;
    case 'skipped':
    case 'kept':
      return `Skipped ${name}, operation not allowed, HTTP status: 405${why === undefined ? '' : ` (${why})`}`;
  }
}

/**
 * The same, deleting only where the run may delete, and unlocking only where it may write attributes: a repository that the
 * purge would touch and the run may not ends it there. Asked again when rights change. `begin` hears of each that it may touch.
 */
function limited(
  authority: Authority,
  { filters, includesLocked }: PurgeWords,
  begin: (repository: string) => void,
): Limited {
  const needed = includesLocked ? (['delete', 'metadata_write'] as const) : (['delete'] as const);
  let repository: string | undefined;
  const require = () => {
    if (repository === undefined) return;
    const name = repository;
    if (needed.every((action) => isVisible(authority.visible(action), name))) return;
    throw new BerthError('denied', `the run may not delete in ${name}: narrow the filter, or give its identity a role`);
  };
  const guarded = (filter: PurgeFilter): PurgeFilter => ({
    ...filter,
    matchesRepository: (name) => {
      if (!filter.matchesRepository(name)) return false;
      repository = name;
      require();
      begin(name);
      return true;
    },
  });
  const { principal, circumstances } = authority;
  return {
    filters: (filters.length === 0 ? [everyRepository] : filters).map(guarded),
    authority: {
      principal,
      ...(circumstances === undefined ? {} : { circumstances }),
      epoch: () => authority.epoch(),
      confirm: async (epoch) => {
        await authority.confirm(epoch);
        require();
      },
      allows: (action, name) => authority.allows(action, name),
      requireToken: (action, name) => authority.requireToken(action, name),
      visible: (action) => authority.visible(action),
    },
  };
}

type Limited = { readonly filters: readonly PurgeFilter[]; readonly authority: Authority };

/** Where no filter is given, only manifests without tags leave. */
const everyRepository: PurgeFilter = { text: '', matchesRepository: () => true, matchesTag: () => false };
