import { BerthError } from '../../core/errors.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Log } from '../../platform/log.ts';
import { type Authority, confirmedWith } from '../access/authority.ts';
import type { Action } from '../access/decision.ts';
import type { Registry } from '../registries/registry.ts';
import type { BuiltInCall, BuiltInParts } from './built-in-call.ts';
import { openOrder, type SealedOrder } from './run-order-secrets.ts';
import type { RunRow } from './run-store.ts';

const commandSeconds = 28_800;
const reading = ['pull', 'metadata_read'] as const;
const removing = ['delete', 'metadata_write'] as const;

export type Standing = {
  readonly registry: Registry;
  readonly authority: Authority;
  /** What the run may do besides. Throws as `standingOf` does. */
  readonly decide: (action: Action, repository: RepositoryName) => Promise<Authority>;
  readonly end: () => Promise<void>;
};

export type Wanted = {
  /** As `--registry` names it; undefined for that of the run. */
  readonly registry: string | undefined;
  readonly action: Action;
  readonly repository?: RepositoryName;
  /** Whether it makes content. */
  readonly isPushing?: boolean;
};

export type StandingParts = Pick<BuiltInParts, 'database' | 'directory' | 'runTokens' | 'authorize' | 'sealer'>;

/**
 * What the run may do now, by a token of its own that ends with the command; the end of the run ends it as well. Throws
 * `denied`, `unauthorized`, and `requestInvalid` for another registry than that of the run.
 */
export async function standingOf(
  parts: StandingParts,
  call: Pick<BuiltInCall, 'run' | 'from'>,
  wanted: Wanted,
): Promise<Standing> {
  const { database, runTokens, authorize } = parts;
  const { run, from } = call;
  const { registry, order } = await registryOf(parts, run);
  if (order?.authority.kind !== 'principal') throw new BerthError('denied');
  refuseOther(registry, wanted.registry);
  const token = await runTokens.issue({
    registryUid: registry.uid,
    principalUid: order.authority.principalId,
    scopes: [
      { type: 'repository', name: '*', actions: wanted.isPushing ? [...reading, 'push'] : [...reading, ...removing] },
      { type: 'registry', name: 'catalog', actions: ['*'] },
    ],
    isTrustedService: run.pool_key === '',
    lifetimeSeconds: commandSeconds,
    run: run.run_id,
  });
  const end = () => runTokens.end(token.tokenUid);
  try {
    const basic = Buffer.from(`${token.userName}:${token.password}`).toString('base64');
    const decide = async (action: Action, repository?: RepositoryName) => {
      const authority = await authorize({
        registry,
        authorization: `Basic ${basic}`,
        action,
        ...(repository === undefined ? {} : { repository }),
        circumstances: { ...from, surface: 'acr' },
      });
      return confirmedWith(authority, async (currentEpoch) => {
        // It has the same epoch as long as none of its tokens has ended.
        if (currentEpoch > authority.epoch()) await requireAtWork(database, run);
      });
    };
    return { registry, authority: await decide(wanted.action, wanted.repository), decide, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** The registry of a run, and what the run was given; no order after its end. Throws `registryUnknown`, SealError. */
export async function registryOf(
  { directory, sealer }: Pick<BuiltInParts, 'directory' | 'sealer'>,
  run: RunRow,
): Promise<{ readonly registry: Registry; readonly order: SealedOrder | undefined }> {
  await directory.refresh();
  const registry = directory.byUid(run.registry_uid);
  if (registry === undefined) throw new BerthError('registryUnknown');
  return { registry, order: run.sealed_order === null ? undefined : openOrder(sealer, run.uid, run.sealed_order) };
}

/** Whether a word of a command means the registry. */
export function isNamed({ name, loginServer }: Registry, word: string): boolean {
  const host = loginServer.replace(/:\d+$/, '');
  return [name.toLowerCase(), host, loginServer].includes(word.toLowerCase());
}

/** What was meant for another registry is not done to this one. */
function refuseOther(registry: Registry, named: string | undefined): void {
  if (named === undefined || isNamed(registry, named)) return;
  const message = `the command works on the registry of the run, ${registry.loginServer}, and --registry names '${named.slice(0, 200)}': leave it out, or run the task in that registry`;
  throw new BerthError('requestInvalid', message);
}

/** Throws `denied` for a run that has ended, or that another agent has. */
async function requireAtWork({ read }: Database, { uid, lease_verifier: lease }: RunRow): Promise<void> {
  const row = await read.selectFrom('runs').select('lease_verifier').where('uid', '=', uid).executeTakeFirst();
  if (lease !== null && row?.lease_verifier === lease) return;
  throw new BerthError('denied', 'the run has ended, or was given to another agent: it may do no more');
}

/** For the log of the run. */
export function reasonOf(log: Log, error: unknown): string {
  if (error instanceof BerthError) return typeof error.detail === 'string' ? error.detail : error.message;
  log.error('a command of a run failed', { error });
  return 'the server failed; what was listed is done';
}
