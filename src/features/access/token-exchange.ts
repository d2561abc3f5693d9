import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
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
import { holderOf, recordIssue, requireConnection } from './token-holder.ts';

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
};

/**
 * Trades a token of the tenant for a refresh token of a registry: for the audience of registries, and for that of the
 * resource manager while the registry's policy allows it. It ends with the credential that the tenant's token was bought
 * with, and when that ends. Throws `credentialsWrong`, `networkDenied`. Source: ACR semantics, "Token flow", step 2; az wire document, 3.2.
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
  const { directory, tokens, tenantTokens, callers } = parts;
  return async ({ registry: { uid }, proof, tenant, circumstances }) => {
    await directory.refresh();
    const registry = directory.byUid(uid);
    if (registry === undefined) throw new BerthError('registryUnknown');
    if (isOtherTenant(tenant, tenantTokens.tenantId)) throw new BerthError('credentialsWrong');
    const shown = await shownCredential(parts, registry, proof);
    const caller = shown && (await callers.ofCredential(shown, registry, circumstances));
    const holder = await holderOf(directory, caller, uid);
    const { rights } = await parts.rightsSource.of(holder.principal, holder.registry, holder.epoch);
    requireConnection(rights, holder.registry, circumstances);
    const token = await tokens.signRefreshToken(holder, permittedActions(rights, uid));
    recordIssue(parts.accessLog, holder, circumstances);
    return token;
  };
}

async function shownCredential(
  parts: ExchangeTokenParts,
  registry: Registry,
  { kind, token }: TenantProof,
): Promise<ShownCredential | undefined> {
  return kind === 'accessToken' ? await ofAccessToken(parts, registry, token) : await ofSession(parts, token);
}

async function ofAccessToken(
  { tenantTokens }: ExchangeTokenParts,
  { acceptsArmTokens }: Registry,
  token: string,
): Promise<ShownCredential | undefined> {
  const claims =
    (await tenantTokens.readAccess(token, 'registry')) ??
    (acceptsArmTokens ? await tenantTokens.readAccess(token, 'resourceManager') : undefined);
  const principalUid = claims && uidOfObjectId(claims.oid);
  return claims && principalUid !== undefined ? { principalUid, credentialUid: claims.credential } : undefined;
}

/** Any client may have opened the session: a registry is no client of its own. */
async function ofSession({ database, clock }: ExchangeTokenParts, token: string): Promise<ShownCredential | undefined> {
  const state = await findState(database.read, stateKey('session', token), clock.nowMicros());
  return state && signedInSchema.parse(JSON.parse(state.payload));
}

/** Clients may name it by a domain, which says nothing here. */
function isOtherTenant(tenant: string | undefined, own: string): boolean {
  const name = tenant?.toLowerCase() ?? '';
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name) && name !== own.toLowerCase();
}
