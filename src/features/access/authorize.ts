import { BerthError, errorCatalogue } from '../../core/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../core/repository-name.ts';
import type { RepositoryAction } from '../../core/scope.ts';
import type { Access, AccessLog } from '../../platform/access-log/access-log.ts';
import type { Directory } from '../registries/directory.ts';
import type { AccessRequest, Authorize } from './access.ts';
import type { Authority } from './authority.ts';
import { parseAuthorization } from './authorization-header.ts';
import type { Caller } from './caller.ts';
import type { Callers } from './callers.ts';
import { type Action, type Decision, decide, type Rights, type Scope, type Visible, visible } from './decision.ts';
import type { RightsAt, RightsSource } from './rights-source.ts';
import { heldAmong, tokenHolds } from './token-access.ts';

export type AuthorizeParts = {
  readonly callers: Callers;
  readonly directory: Directory;
  readonly rightsSource: RightsSource;
  readonly accessLog: AccessLog;
};

export function createAuthorize(parts: AuthorizeParts): Authorize {
  return async (request) => {
    const { action, authorization, registry, circumstances } = request;
    if (action === 'connect' || action === 'administer') await parts.directory.refresh();
    if (
      action === 'connect' &&
      authorization === undefined &&
      (await parts.callers.awaitsService(registry, circumstances))
    )
      throw new BerthError('unauthorized', challengeDetail(request));
    const caller = await parts.callers.ofHeader(authorization, registry, circumstances);
    if (caller === undefined) throw refuseCredentials(parts.accessLog, request);
    const check = new AccessCheck(parts, request, caller);
    return new CheckedAuthority(check, await check.run());
  };
}

/** Rights as they were at an epoch, which held the action that was asked for. */
type Checked = { readonly rights: Rights; readonly epoch: number };

type Refusal = 'unauthorized' | 'credentialsWrong' | 'insufficientScope' | 'denied';

/** One caller's request, checked as often as the epoch moves while it is served. */
class AccessCheck {
  readonly request: AccessRequest;
  readonly caller: Caller;
  readonly #parts: AuthorizeParts;

  constructor(parts: AuthorizeParts, request: AccessRequest, caller: Caller) {
    this.#parts = parts;
    this.request = request;
    this.caller = caller;
  }

  /** Throws `unauthorized`, `insufficientScope`, `denied` or `registryUnknown`. */
  async run(): Promise<Checked> {
    const { directory } = this.#parts;
    while (true) {
      const checked = await this.#rights();
      const refusal = this.#refusalOf(checked.rights);
      if (refusal === undefined) return checked;
      // A right that was given a moment ago is looked for at once; it does not change what a token holds.
      if (refusal.error !== 'insufficientScope') await directory.refresh();
      if (directory.epoch() === checked.epoch) throw this.#refuse(refusal.error, refusal.reason, checked.rights);
    }
  }

  #refusalOf(rights: Rights): { readonly error: Refusal; readonly reason: string } | undefined {
    const { action, repository } = this.request;
    const isConnecting = this.caller.kind === 'none' && action === 'connect';
    if (isConnecting) return { error: 'unauthorized', reason: 'no credentials' };
    if (!this.#tokenHolds(action, repository)) return { error: 'insufficientScope', reason: 'not in the token' };
    const decision = this.#decide(rights, action, repository);
    if (decision.kind === 'allowed') return undefined;
    return { error: rights.principal.kind === 'anonymous' ? 'unauthorized' : 'denied', reason: decision.reason };
  }

  /** Of one registry as it stood at one epoch: begins anew when that moved while something was read. */
  async #rights(): Promise<RightsAt> {
    const { directory, rightsSource } = this.#parts;
    while (true) {
      const epoch = directory.epoch();
      const registry = directory.byUid(this.request.registry.uid);
      if (registry === undefined) throw new BerthError('registryUnknown');
      const identity = await this.caller.identity(epoch);
      const isOutdated = (this.caller.issuedAtEpoch ?? epoch) < registry.credentialsEpoch;
      if (identity === undefined || isOutdated)
        throw this.#refuse('credentialsWrong', 'the credentials have expired or were withdrawn');
      const { rights } = await rightsSource.of(identity.principal, registry, epoch);
      if (directory.epoch() === epoch) return { rights, epoch };
    }
  }

  /** `run` at this epoch or a newer one. */
  async runAt(epoch: number): Promise<Checked> {
    await this.#parts.directory.catchUp(epoch);
    return await this.run();
  }

  allows(rights: Rights, action: Action, repository: RepositoryName): boolean {
    return this.#tokenHolds(action, repository) && this.#decide(rights, action, repository).kind === 'allowed';
  }

  /** What the rights allow and the token does not hold. */
  isBeyondToken(rights: Rights, action: Action, repository: RepositoryName): boolean {
    return !this.#tokenHolds(action, repository) && this.#decide(rights, action, repository).kind === 'allowed';
  }

  #tokenHolds(action: Action, repository: RepositoryName | undefined): boolean {
    return this.caller.access === undefined || tokenHolds(this.caller.access, action, repository);
  }

  #decide(rights: Rights, action: Action, repository: RepositoryName | undefined): Decision {
    const scope = scopeOf(action, this.request.registry.uid, repository);
    return decide(rights, action, scope, this.request.circumstances);
  }

  /** A stranger without credentials is asked to sign in, which is no denial yet. */
  #refuse(error: Refusal, reason: string, rights?: Rights): BerthError {
    const { request } = this;
    if (this.caller.kind !== 'none')
      recordDenial(this.#parts.accessLog, request, {
        identity: rights?.principal.uid ?? 'unknown',
        ...(rights === undefined ? {} : { principalKind: rights.principal.kind }),
        status: errorCatalogue[error].status,
        reason,
      });
    return new BerthError(error, error === 'denied' ? missingDetail(request) : challengeDetail(request));
  }
}

class CheckedAuthority implements Authority {
  readonly #check: AccessCheck;
  #checked: Checked;

  constructor(check: AccessCheck, checked: Checked) {
    this.#check = check;
    this.#checked = checked;
  }

  get principal() {
    return this.#checked.rights.principal;
  }

  get circumstances() {
    return this.#check.request.circumstances;
  }

  epoch(): number {
    return this.#checked.epoch;
  }

  async confirm(currentEpoch: number): Promise<void> {
    if (currentEpoch > this.#checked.epoch) this.#checked = await this.#check.runAt(currentEpoch);
  }

  allows(action: 'pull' | 'push' | 'delete', repository: string): boolean {
    return isRepositoryName(repository) && this.#check.allows(this.#checked.rights, action, repository);
  }

  requireToken(action: 'pull' | 'quarantine_write', repository: string): void {
    if (!isRepositoryName(repository) || !this.#check.isBeyondToken(this.#checked.rights, action, repository)) return;
    const own = challengeDetail(this.#check.request) ?? [];
    throw new BerthError('insufficientScope', [...own, ...entries(repository, [action])]);
  }

  visible(action?: RepositoryAction): Visible {
    const allowed = visible(this.#checked.rights, action ?? 'catalogList', this.#check.request.registry.uid);
    const { access } = this.#check.caller;
    return action === undefined || access === undefined ? allowed : heldAmong(allowed, access, action);
  }
}

/** A wrong password has its line in the access log as a failed sign-in already. */
function refuseCredentials(accessLog: AccessLog, request: AccessRequest): BerthError {
  if (parseAuthorization(request.authorization).kind !== 'basic')
    recordDenial(accessLog, request, { identity: 'unknown', status: 401, reason: 'not a valid access token' });
  return new BerthError('credentialsWrong', challengeDetail(request));
}

function recordDenial(
  accessLog: AccessLog,
  { registry, action, repository, circumstances: { address, correlationId, userAgent } }: AccessRequest,
  denial: Pick<Access, 'identity' | 'principalKind'> & { readonly status: number; readonly reason: string },
): void {
  accessLog.record({
    kind: 'denial',
    registryUid: registry.uid,
    address,
    correlationId,
    ...denial,
    reason: `${action}: ${denial.reason}`,
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(repository === undefined ? {} : { repository }),
  });
}

function scopeOf(action: Action, registryUid: string, repository: RepositoryName | undefined): Scope {
  switch (action) {
    case 'administer':
      return { kind: 'installation' };
    case 'connect':
    case 'catalogList':
    case 'deletedCatalogList':
      return { kind: 'registry', registryUid };
    default:
      if (repository === undefined) throw new TypeError(`the action ${action} is on a repository, and none was named`);
      return { kind: 'repository', registryUid, repository };
  }
}

/** What a new token has to hold: pushing reads too. Source: ACR semantics, "Token flow", step 1. */
function challengeDetail(request: AccessRequest): readonly Entry[] | undefined {
  return request.action === 'push' ? entries(request.repository, ['pull', 'push']) : missingDetail(request);
}

function missingDetail(request: AccessRequest): readonly Entry[] | undefined {
  switch (request.action) {
    case 'connect':
      return undefined;
    case 'administer':
      return [{ Type: 'installation', Name: 'installation', Action: 'administer' }];
    case 'catalogList':
      return [{ Type: 'registry', Name: 'catalog', Action: '*' }];
    case 'deletedCatalogList':
      return [{ Type: 'registry', Name: 'deleted_catalog', Action: '*' }];
    default:
      return entries(request.repository, [request.action]);
  }
}

/** What is missing, in the form of the challenge and of ACR's error detail. */
type Entry = { readonly Type: string; readonly Name: string | undefined; readonly Action: string };

function entries(repository: string | undefined, actions: readonly string[]): readonly Entry[] {
  return actions.map((action) => ({ Type: 'repository', Name: repository, Action: action }));
}
