import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import type { Authorize } from '../access/access.ts';
import type { Authority } from '../access/authority.ts';
import { type Circumstances, isVisible } from '../access/decision.ts';
import type { RunTokens } from '../access/run-tokens.ts';
import type { Deletions } from '../content/deletions.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import type { PurgeFilter } from '../retention/purge-filter.ts';
import { purge } from '../retention/purges.ts';
import type { PurgeItem } from '../retention/take-selection.ts';
import { type PurgeWords, parsePurgeWords } from './purge-words.ts';
import { openOrder } from './run-order-secrets.ts';
import type { RunRow } from './run-store.ts';

export type BuiltInParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly deletions: Deletions;
  readonly sealer: Sealer;
  readonly directory: Pick<Directory, 'byUid' | 'refresh'>;
  readonly authorize: Authorize;
  readonly runTokens: RunTokens;
  readonly log: Log;
};

export type BuiltInCall = {
  readonly run: RunRow;
  readonly words: readonly string[];
  readonly from: Pick<Circumstances, 'address' | 'correlationId' | 'userAgent'>;
  readonly signal: AbortSignal;
};

/**
 * A command of a step that the server does itself, with the rights of the run: its lines, and its exit code last. Throws
 * nothing that a line could say.
 */
export type RunBuiltIn = (call: BuiltInCall) => AsyncGenerator<BuiltInLine>;

const commandSeconds = 28_800;
const dryRunHeader =
  'DRY RUN: The following output shows what WOULD be deleted if the purge command was executed. Nothing is deleted.';

export function createRunBuiltIn(parts: BuiltInParts): RunBuiltIn {
  return async function* (call) {
    const [program, verb, ...words] = call.words;
    if (program !== 'acr' || verb !== 'purge') {
      const known = `this server does "acr purge" in a step and no other command of acr: '${call.words.slice(0, 2).join(' ')}'`;
      yield { line: known };
      yield { exitCode: 1 };
      return;
    }
    try {
      yield* runPurge(parts, call, parsePurgeWords(words));
    } catch (error) {
      yield { line: `Failed to complete purge: ${reasonOf(parts.log, error)}` };
      yield { exitCode: 1 };
    }
  };
}

/** Source: ACR tasks, 5.6. */
async function* runPurge(parts: BuiltInParts, call: BuiltInCall, words: PurgeWords): AsyncGenerator<BuiltInLine> {
  for (const line of words.notes) yield { line };
  if (words.isDryRun) yield { line: dryRunHeader };
  const { registry, authority: standing, end } = await authorityOf(parts, call);
  const totals = { tags: 0, manifests: 0 };
  let failure: string | undefined;
  try {
    const { filters, authority } = limited(standing, words);
    const request = { ...words, filters, registryUid: registry.uid, signal: call.signal };
    let header = '';
    for await (const item of purge(parts, authority, request)) {
      const begins = headerOf(item, words.isDryRun);
      if (begins !== header) yield { line: begins };
      header = begins;
      yield { line: textOf(item, registry.loginServer) };
      const isTaken = item.outcome === 'deleted' || item.outcome === 'wouldDelete' || item.outcome === 'changed';
      if (isTaken) totals[item.tag === undefined ? 'manifests' : 'tags'] += 1;
    }
  } catch (error) {
    failure = reasonOf(parts.log, error);
    yield { line: `Failed to complete purge: ${failure}` };
  } finally {
    await end();
  }
  yield { line: '' };
  const label = (what: string) => (words.isDryRun ? `Number of ${what} to be deleted` : `Number of deleted ${what}`);
  yield { line: `${label('tags')}: ${totals.tags}` };
  yield { line: `${label('manifests')}: ${totals.manifests}` };
  yield { exitCode: failure === undefined && !call.signal.aborted ? 0 : 1 };
}

function headerOf({ repository, tag }: PurgeItem, isDryRun: boolean): string {
  return `${isDryRun ? 'Would delete' : 'Deleting'} ${tag === undefined ? 'manifests' : 'tags'} for repository: ${repository}`;
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

type Standing = { readonly registry: Registry; readonly authority: Authority; readonly end: () => Promise<void> };

/** What the run may do now, by a token of its own that ends with the command. Throws `denied`, `unauthorized`. */
async function authorityOf(parts: BuiltInParts, { run, from }: BuiltInCall): Promise<Standing> {
  const { directory, runTokens, authorize, sealer } = parts;
  const order = run.sealed_order === null ? undefined : openOrder(sealer, run.uid, run.sealed_order);
  if (order?.authority.kind !== 'principal') throw new BerthError('denied');
  await directory.refresh();
  const registry = directory.byUid(run.registry_uid);
  if (registry === undefined) throw new BerthError('registryUnknown');
  const token = await runTokens.issue({
    registryUid: registry.uid,
    principalUid: order.authority.principalId,
    scopes: [
      { type: 'repository', name: '*', actions: ['pull', 'delete', 'metadata_read', 'metadata_write'] },
      { type: 'registry', name: 'catalog', actions: ['*'] },
    ],
    isTrustedService: run.pool_key === '',
    lifetimeSeconds: commandSeconds,
    run: run.run_id,
  });
  const end = () => runTokens.end(token.tokenUid);
  try {
    const basic = Buffer.from(`${token.userName}:${token.password}`).toString('base64');
    const authority = await authorize({
      registry,
      authorization: `Basic ${basic}`,
      action: 'catalogList',
      circumstances: { ...from, surface: 'acr' },
    });
    return { registry, authority, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * The same, deleting only where the run may delete, and unlocking only where it may write attributes: a repository that the
 * purge would touch and the run may not ends it there. Asked again when rights change.
 */
function limited(authority: Authority, { filters, includesLocked }: PurgeWords): Limited {
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

function reasonOf(log: Log, error: unknown): string {
  if (error instanceof BerthError) return typeof error.detail === 'string' ? error.detail : error.message;
  log.error('a purge of a run failed', { error });
  return 'the server failed; what was listed is done';
}
