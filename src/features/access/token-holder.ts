import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Principal } from '../identity/principal.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import type { Caller } from './caller.ts';
import { type Circumstances, decide, type Rights } from './decision.ts';
import type { TokenHolder } from './registry-tokens.ts';

/** Told whose credentials were right, a stranger's as well. What it throws refuses the token. */
export type BeforeIssue = (principal: Principal) => Promise<void> | undefined;

/** Who gets a token, as they stand now. Throws `credentialsWrong`, `registryUnknown`. */
export async function holderOf(directory: Directory, caller: Caller | undefined, uid: string): Promise<TokenHolder> {
  // An access token buys no other: it would never end.
  if (caller === undefined || caller.kind === 'token') throw new BerthError('credentialsWrong');
  const identity = await caller.identity(directory.epoch());
  if (identity === undefined) throw new BerthError('credentialsWrong');
  const registry = directory.byUid(uid);
  if (registry === undefined) throw new BerthError('registryUnknown');
  const { access: limits, isTrustedService } = caller;
  return { ...identity, registry, limits, isTrustedService, epoch: Math.min(identity.epoch, directory.epoch()) };
}

/** Throws `unauthorized`: for strangers where the registry has no anonymous pull. */
export function requireConnection(rights: Rights, { uid: registryUid }: Registry, circumstances: Circumstances): void {
  const decision = decide(rights, 'connect', { kind: 'registry', registryUid }, circumstances);
  if (decision.kind === 'denied') throw new BerthError('unauthorized');
}

export function recordIssue(
  accessLog: AccessLog,
  { registry, principal }: TokenHolder,
  circumstances: Circumstances,
): void {
  const { address, correlationId, userAgent } = circumstances;
  accessLog.record({
    kind: 'tokenIssue',
    registryUid: registry.uid,
    identity: principal.uid,
    principalKind: principal.kind,
    address,
    correlationId,
    status: 200,
    ...(userAgent === undefined ? {} : { userAgent }),
  });
}
