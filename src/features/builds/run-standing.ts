import { BerthError } from '../../core/errors.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import type { Log } from '../../platform/log.ts';
import type { Authority } from '../access/authority.ts';
import type { Action } from '../access/decision.ts';
import type { Registry } from '../registries/registry.ts';
import type { BuiltInCall, BuiltInParts } from './built-in-call.ts';
import { openOrder } from './run-order-secrets.ts';

const commandSeconds = 28_800;

export type Standing = {
  readonly registry: Registry;
  readonly authority: Authority;
  readonly end: () => Promise<void>;
};

export type Wanted = {
  /** As `--registry` names it; undefined for that of the run. */
  readonly registry: string | undefined;
  readonly action: Action;
  readonly repository?: RepositoryName;
};

/**
 * What the run may do now, by a token of its own that ends with the command. Throws `denied`, `unauthorized`, and
 * `requestInvalid` for another registry than that of the run.
 */
export async function standingOf(parts: BuiltInParts, call: BuiltInCall, wanted: Wanted): Promise<Standing> {
  const { directory, runTokens, authorize, sealer } = parts;
  const { run, from } = call;
  const order = run.sealed_order === null ? undefined : openOrder(sealer, run.uid, run.sealed_order);
  if (order?.authority.kind !== 'principal') throw new BerthError('denied');
  await directory.refresh();
  const registry = directory.byUid(run.registry_uid);
  if (registry === undefined) throw new BerthError('registryUnknown');
  refuseOther(registry, wanted.registry);
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
    const { action, repository } = wanted;
    const authority = await authorize({
      registry,
      authorization: `Basic ${basic}`,
      action,
      ...(repository === undefined ? {} : { repository }),
      circumstances: { ...from, surface: 'acr' },
    });
    return { registry, authority, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** What was meant for another registry is not done to this one. */
function refuseOther({ name, loginServer }: Registry, named: string | undefined): void {
  const host = loginServer.replace(/:\d+$/, '');
  if (named === undefined || [name.toLowerCase(), host, loginServer].includes(named.toLowerCase())) return;
  const message = `the command works on the registry of the run, ${loginServer}, and --registry names '${named.slice(0, 200)}': leave it out, or run the task in that registry`;
  throw new BerthError('requestInvalid', message);
}

/** For the log of the run. */
export function reasonOf(log: Log, error: unknown): string {
  if (error instanceof BerthError) return typeof error.detail === 'string' ? error.detail : error.message;
  log.error('a command of a run failed', { error });
  return 'the server failed; what was listed is done';
}
