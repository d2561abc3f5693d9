import { addressKey } from '../../core/address-key.ts';
import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { FailedAttempts } from '../identity/failed-attempts.ts';
import { uidOfObjectId } from '../identity/object-id.ts';
import { signedInSchema } from '../identity/sign-in-sessions.ts';
import { findState, stateKey } from '../identity/sign-in-state-store.ts';
import type { TenantTokens } from '../identity/tenant-tokens.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import type { Callers } from './callers.ts';
import type { Circumstances } from './decision.ts';
import type { RegistryTokens } from './registry-tokens.ts';
import type { RightsSource } from './rights-source.ts';
import { permittedActions } from './token-access.ts';
import { type BeforeIssue, holderOf, recordIssue, requireConnection } from './token-holder.ts';

/** What the tenant gave: an access token, or the refresh token of a person's sign-in. */
export type TenantProof = {
  readonly kind: 'accessToken' | 'refreshToken';
  readonly token: string;
};

export type ExchangeRequest = {
  readonly registry: Registry;
  readonly proof: TenantProof;
  /** As the client names it; a GUID that is not ours is refused. */
  readonly tenant: string | undefined;
  readonly circumstances: Circumstances;
  readonly beforeIssue?: BeforeIssue;
};

/**
 * Trades a token of the tenant for a refresh token of a registry: for the audience of registries, and for that of the
 * resource manager while the registry's policy allows it. It ends with the credential that the tenant's token was bought
 * with, and when that ends. A right one always works; many wrong ones from one address are refused as `tooManyAttempts`. Throws
 * `credentialsWrong`, `networkDenied`, the latter before it looks at the token. Source: ACR semantics, "Token flow", step 2; az wire document, 3.2.
 */
export type ExchangeToken = (request: ExchangeRequest) => Promise<string>;

export type ExchangeTokenParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly callers: Callers;
  readonly directory: Directory;
  readonly rightsSource: RightsSource;
  readonly tokens: RegistryTokens;
  readonly tenantTokens: TenantTokens;
  readonly accessLog: AccessLog;
};

type ShownCredential = { readonly principalUid: string; readonly credentialUid: string };

export function createExchangeToken(parts: ExchangeTokenParts): ExchangeToken {
  const { directory, tenantTokens, callers, accessLog } = parts;
  const failures = new FailedAttempts(parts.clock);
  return async (request) => {
    const { proof, tenant, circumstances } = request;
    const { uid } = request.registry;
    await directory.refresh();
    const registry = directory.byUid(uid);
    if (registry === undefined) throw new BerthError('registryUnknown');
    await callers.requireNetwork(registry, circumstances);
    const isForeign = isOtherTenant(tenant, tenantTokens.tenantId);
    const shown = isForeign ? undefined : await shownCredential(parts, registry, proof);
    try {
      return await tokenFor(parts, shown, { ...request, registry });
    } catch (error) {
      if (!(error instanceof BerthError && error.error === 'credentialsWrong')) throw error;
      const key = addressKey(circumstances.address);
      const waitSeconds = failures.waitSeconds(key);
      const status = waitSeconds > 0 ? 429 : 401;
      recordRefusal(accessLog, { registryUid: uid, identity: shown?.principalUid ?? 'unknown', status }, circumstances);
      if (waitSeconds === 0) {
        failures.count(key);
        throw error;
      }
      throw new BerthError('tooManyAttempts', undefined, { retryAfterSeconds: waitSeconds });
    }
  };
}

async function tokenFor(
  { directory, callers, rightsSource, tokens, accessLog }: ExchangeTokenParts,
  shown: ShownCredential | undefined,
  { registry, circumstances, beforeIssue }: ExchangeRequest,
): Promise<string> {
  const caller = shown && (await callers.ofCredential(shown, registry, circumstances));
  const holder = await holderOf(directory, caller, registry.uid);
  await beforeIssue?.(holder.principal);
  const { rights } = await rightsSource.of(holder.principal, holder.registry, holder.epoch);
  requireConnection(rights, holder.registry, circumstances);
  const token = await tokens.signRefreshToken(holder, permittedActions(rights, registry.uid));
  recordIssue(accessLog, holder, circumstances);
  return token;
}

function recordRefusal(
  accessLog: AccessLog,
  refusal: { readonly registryUid: string; readonly identity: string; readonly status: 401 | 429 },
  { address, correlationId, userAgent }: Circumstances,
): void {
  const line = { kind: 'signIn', ...refusal, address, correlationId } as const;
  accessLog.record({ ...line, ...(userAgent === undefined ? {} : { userAgent }) });
}

async function shownCredential(
  parts: ExchangeTokenParts,
  registry: Registry,
  { kind, token }: TenantProof,
): Promise<ShownCredential | undefined> {
  return kind === 'accessToken' ? await ofAccessToken(parts, registry, token) : await ofSession(parts, token);
}

async function ofAccessToken(
  { tenantTokens, directory }: ExchangeTokenParts,
  { acceptsArmTokens }: Registry,
  token: string,
): Promise<ShownCredential | undefined> {
  const epoch = directory.epoch();
  const { claims } =
    (await tenantTokens.readAccess(token, 'registry', epoch)) ??
    (acceptsArmTokens ? await tenantTokens.readAccess(token, 'resourceManager', epoch) : undefined) ??
    {};
  const principalUid = claims && uidOfObjectId(claims.oid);
  return claims && principalUid !== undefined ? { principalUid, credentialUid: claims.credential } : undefined;
}

/** Any client without a secret may have opened the session: a registry is no client of its own. */
async function ofSession({ database, clock }: ExchangeTokenParts, token: string): Promise<ShownCredential | undefined> {
  const state = await findState(database.read, stateKey('session', token), clock.nowMicros());
  const kept = state && signedInSchema.parse(JSON.parse(state.payload));
  return kept?.proof === undefined ? kept : undefined;
}

/** Clients may name it by a domain, which says nothing here. */
function isOtherTenant(tenant: string | undefined, own: string): boolean {
  const name = tenant?.toLowerCase() ?? '';
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name) && name !== own.toLowerCase();
}
