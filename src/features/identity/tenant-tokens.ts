import type { JWK } from 'jose';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import { type TenantAccessClaims, type TenantIdClaims, tenantAccessClaims } from '../../wire/login/tenant-claims.ts';
import type { ManagedIdentity } from './managed-identities.ts';
import { objectIdOf } from './object-id.ts';
import type { Principal } from './principal.ts';
import { keyIdOf, type SigningKeys } from './signing-keys.ts';
import { resourceAudiences, type TenantResource } from './tenant-resource.ts';

/** Someone who has shown who they are to the tenant, through a client. */
export type SignedIn = {
  readonly principal: Principal;
  /** Uid of the credential that was shown. */
  readonly credentialUid: string;
  /** User name as it was typed, application id of a service principal. */
  readonly loginName: string;
  /** Application id, GUID. */
  readonly clientId: string;
  readonly proof: 'none' | 'secret' | 'key';
};

export type IssuedToken = { readonly token: string; readonly expiresInSeconds: number; readonly expiresAt: number };

/** What a token says, and the id of the key that signed it. */
export type ReadAccess = { readonly claims: TenantAccessClaims; readonly keyId: string };

export type TenantTokensParts = {
  /** Of the purpose `tenantToken`. */
  readonly keys: SigningKeys;
  readonly clock: Clock;
  readonly ids: Ids;
  /** GUID. */
  readonly tenantId: string;
  readonly domain: string;
  readonly lifetimeSeconds: number;
};

/** It is used at once. */
const outsideSeconds = 300;
const proofCodes = { none: '0', secret: '1', key: '2' } as const;

/**
 * Tokens of the tenant: ES256, as no client of it checks more than that the algorithm is one the discovery document names
 * (docs/decisions/tenant-sign-in.md). The issuer of access tokens does not depend on the name the client reached us by.
 */
export class TenantTokens {
  readonly #parts: TenantTokensParts;

  constructor(parts: TenantTokensParts) {
    this.#parts = parts;
  }

  get tenantId(): string {
    return this.#parts.tenantId;
  }

  /** `iss` of access tokens. */
  get issuer(): string {
    return `https://sts.${this.#parts.domain}/${this.#parts.tenantId}/`;
  }

  async issueAccess(who: SignedIn, resource: TenantResource): Promise<IssuedToken> {
    const { principal, loginName } = who;
    const objectId = objectIdOf(principal.uid);
    const claims: TenantAccessClaims = {
      aud: resourceAudiences[resource],
      iss: this.issuer,
      ...this.#times(),
      tid: this.#parts.tenantId,
      oid: objectId,
      sub: objectId,
      appid: who.clientId,
      appidacr: proofCodes[who.proof],
      idtyp: principal.kind === 'user' ? 'user' : 'app',
      ver: '1.0',
      uti: this.#parts.ids.uid(),
      name: principal.name,
      ...(principal.kind === 'user' ? { upn: loginName, unique_name: loginName, scp: 'user_impersonation' } : {}),
      credential: who.credentialUid,
    };
    const token = await this.#parts.keys.sign(claims);
    return { token, expiresInSeconds: this.#parts.lifetimeSeconds, expiresAt: claims.exp };
  }

  /** What a managed identity shows to a service that is not of this installation. It opens nothing here: `audience` is none of ours. */
  async issueOutside({ uid, clientId, name }: ManagedIdentity, audience: string): Promise<string> {
    if (Object.values(resourceAudiences).includes(audience))
      throw new RangeError(`${audience} is of this installation`);
    const objectId = objectIdOf(uid);
    const claims: Omit<TenantAccessClaims, 'credential'> = {
      aud: audience,
      iss: this.issuer,
      ...this.#times(outsideSeconds),
      tid: this.#parts.tenantId,
      oid: objectId,
      sub: objectId,
      appid: clientId,
      appidacr: proofCodes.key,
      idtyp: 'app',
      ver: '1.0',
      uti: this.#parts.ids.uid(),
      name,
    };
    return await this.#parts.keys.sign(claims);
  }

  /** For the client itself: who has signed in. `issuer` is that of the discovery document it read. */
  async issueId(who: SignedIn, issuer: string, nonce: string | undefined): Promise<string> {
    const objectId = objectIdOf(who.principal.uid);
    const claims: TenantIdClaims = {
      aud: who.clientId,
      iss: issuer,
      ...this.#times(),
      tid: this.#parts.tenantId,
      oid: objectId,
      sub: objectId,
      ver: '2.0',
      name: who.principal.name,
      upn: who.loginName,
      preferred_username: who.loginName,
      ...(nonce === undefined ? {} : { nonce }),
    };
    return await this.#parts.keys.sign(claims);
  }

  /** Undefined for anything but a valid access token of ours for this resource, whose key stood at that access epoch. */
  async readAccess(token: string, resource: TenantResource, epoch: number): Promise<ReadAccess | undefined> {
    const expected = { issuer: this.issuer, audience: resourceAudiences[resource] };
    const claims = tenantAccessClaims.safeParse(await this.#parts.keys.verify(token, expected, epoch)).data;
    const keyId = keyIdOf(token);
    return claims?.tid === this.#parts.tenantId && keyId !== undefined ? { claims, keyId } : undefined;
  }

  /** Whether the key that signed a token read before was not revoked until that access epoch. */
  stands(keyId: string, epoch: number): boolean | Promise<boolean> {
    return this.#parts.keys.stands(keyId, epoch);
  }

  /** Source: RFC 7517, section 5. */
  async keySet(): Promise<{ readonly keys: readonly JWK[] }> {
    return { keys: await this.#parts.keys.publicKeys() };
  }

  #times(seconds = this.#parts.lifetimeSeconds): Pick<TenantAccessClaims, 'iat' | 'nbf' | 'exp'> {
    const now = Math.floor(this.#parts.clock.nowMicros() / 1_000_000);
    return { iat: now, nbf: now, exp: now + seconds };
  }
}
