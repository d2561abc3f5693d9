import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { TenantAccessClaims } from '../../wire/login/tenant-claims.ts';
import { CredentialCache } from './credential-cache.ts';
import { uidOfObjectId } from './object-id.ts';
import type { Principal } from './principal.ts';
import { createFindStanding } from './principal-store.ts';
import { clockSkewSeconds } from './signing-keys.ts';
import type { TenantResource } from './tenant-resource.ts';
import type { ReadAccess, TenantTokens } from './tenant-tokens.ts';

/**
 * Who sends a request with an Authorization header: the principal of a valid access token for that resource, as it stands
 * now. Costs one query; the signature of a token seen before is not checked again. Throws `unauthorized` for no header,
 * for any other header, and when principal or credential of the token have been disabled or removed since, or its key was revoked.
 */
export type TenantCaller = (authorization: string | undefined, resource: TenantResource) => Promise<Principal>;

export type TenantCallerParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly tenantTokens: TenantTokens;
};

export function createTenantCaller({ database, clock, ids, tenantTokens }: TenantCallerParts): TenantCaller {
  const checked = new CredentialCache<ReadAccess>(clock, ids);
  const findStanding = createFindStanding(database.read);
  return async (authorization, resource) => {
    const token = tokenOf(authorization);
    if (token === undefined) throw new BerthError('unauthorized');
    const read = await checked.get(`${resource} ${token}`, () => tenantTokens.readAccess(token, resource, 0));
    const uid = read && uidOfObjectId(read.claims.oid);
    if (read === undefined || uid === undefined || hasEnded(read.claims, clock)) throw new BerthError('unauthorized');
    const standing = await findStanding(uid, read.claims.credential);
    if (standing === undefined || hasExpired(standing.expiresAtMicros, clock)) throw new BerthError('unauthorized');
    // The row says which epoch it is: a key revoked until then is known to be.
    if (!(await tenantTokens.stands(read.keyId, standing.epoch))) throw new BerthError('unauthorized');
    return standing.principal;
  };
}

/** Source: RFC 6750, section 2.1. */
function tokenOf(authorization: string | undefined): string | undefined {
  return /^bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(authorization ?? '')?.[1];
}

function hasEnded({ exp }: TenantAccessClaims, clock: Clock): boolean {
  return (exp + clockSkewSeconds) * 1_000_000 <= clock.nowMicros();
}

function hasExpired(expiresAtMicros: number | undefined, clock: Clock): boolean {
  return expiresAtMicros !== undefined && expiresAtMicros <= clock.nowMicros();
}
