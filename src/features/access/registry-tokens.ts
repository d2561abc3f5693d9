import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { AccessScope } from '../../core/scope.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import {
  type AccessTokenClaims,
  accessTokenClaims,
  type RefreshTokenClaims,
  refreshTokenClaims,
  tokenIssuer,
} from '../../wire/token/token-claims.ts';
import type { Principal } from '../identity/principal.ts';
import { keyIdOf, keyOverlapSeconds, type SigningKeys } from '../identity/signing-keys.ts';
import type { Registry } from '../registries/registry.ts';

export type TokenLifetimes = {
  /** ACR's is 4,500. Bounded by a day. */
  readonly accessTokenSeconds: number;
  /** ACR's is 10,800. Bounded by a day. */
  readonly refreshTokenSeconds: number;
};

/** What a token says, and the id of the key that signed it. */
export type ReadToken<Claims> = { readonly claims: Claims; readonly keyId: string };

/** Who a token is for. */
export type TokenHolder = {
  readonly registry: Registry;
  readonly principal: Principal;
  readonly credentialUid: string | undefined;
  readonly epoch: number;
  /** When what was shown ends, in microseconds: no token outlives it. */
  readonly expiresAtMicros: number;
  /** All that may be done with what was shown; undefined for all that the principal may do. */
  readonly limits: readonly AccessScope[] | undefined;
  /** A service of the installation, as whose its tokens are known again. */
  readonly isTrustedService: boolean;
};

export type SignedAccessToken = { readonly token: string; readonly expiresInSeconds: number };

export type RegistryTokensParts = {
  readonly keys: SigningKeys;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly lifetimes: TokenLifetimes;
  /** GUID. */
  readonly tenantId: string;
};

/** Makes and reads the tokens of registries; what they say is who asked and for what, never what is allowed now. */
export class RegistryTokens {
  readonly lifetimes: TokenLifetimes;
  readonly #parts: RegistryTokensParts;

  constructor(parts: RegistryTokensParts) {
    const longest = Math.max(parts.lifetimes.accessTokenSeconds, parts.lifetimes.refreshTokenSeconds);
    if (longest > keyOverlapSeconds) throw new RangeError(`a token lives at most ${keyOverlapSeconds} seconds`);
    this.lifetimes = parts.lifetimes;
    this.#parts = parts;
  }

  async signAccessToken(holder: TokenHolder, access: readonly AccessScope[]): Promise<SignedAccessToken> {
    const claims: AccessTokenClaims = {
      ...this.#claims(holder, this.lifetimes.accessTokenSeconds),
      grant_type: 'access_token',
      access: access.map(copyOf),
    };
    return { token: await this.#parts.keys.sign(claims, holder.epoch), expiresInSeconds: claims.exp - claims.iat };
  }

  /** `actions` are what the holder may do somewhere in the registry, for whoever looks into the token. */
  async signRefreshToken(
    holder: TokenHolder,
    actions: readonly string[],
    lifetimeSeconds = this.lifetimes.refreshTokenSeconds,
  ): Promise<string> {
    const { limits } = holder;
    const claims: RefreshTokenClaims = {
      ...this.#claims(holder, lifetimeSeconds),
      grant_type: 'refresh_token',
      tenant: this.#parts.tenantId,
      permissions: { actions: [...actions], notActions: [] },
      ...(limits === undefined ? {} : { limits: limits.map(copyOf) }),
    };
    return await this.#parts.keys.sign(claims, holder.epoch);
  }

  /** Undefined for anything but a valid access token of this registry, whose key stood at that access epoch. */
  async readAccessToken(
    token: string,
    registry: Registry,
    epoch: number,
  ): Promise<ReadToken<AccessTokenClaims> | undefined> {
    return readAs(accessTokenClaims, token, registry, await this.#verify(token, registry, epoch));
  }

  /** Undefined for anything but a valid refresh token of this registry, whose key stood at that access epoch. */
  async readRefreshToken(
    token: string,
    registry: Registry,
    epoch: number,
  ): Promise<ReadToken<RefreshTokenClaims> | undefined> {
    return readAs(refreshTokenClaims, token, registry, await this.#verify(token, registry, epoch));
  }

  /** Whether the key that signed a token read before was not revoked until that access epoch. */
  stands(keyId: string, epoch: number): boolean | Promise<boolean> {
    return this.#parts.keys.stands(keyId, epoch);
  }

  #verify(token: string, { loginServer: audience }: Registry, epoch: number): Promise<unknown> {
    return this.#parts.keys.verify(token, { issuer: tokenIssuer, audience }, epoch);
  }

  /** Throws `credentialsWrong` for what ends this very second, or ended and is forgiven the clocks' difference. */
  #claims(holder: TokenHolder, lifetimeSeconds: number) {
    const { registry, principal, credentialUid, epoch, expiresAtMicros, isTrustedService } = holder;
    const now = Math.floor(this.#parts.clock.nowMicros() / 1_000_000);
    const exp = Math.min(now + lifetimeSeconds, Math.floor(expiresAtMicros / 1_000_000));
    if (exp <= now) throw new BerthError('credentialsWrong');
    return {
      jti: this.#parts.ids.guid(),
      sub: principal.name,
      nbf: now,
      exp,
      iat: now,
      iss: tokenIssuer,
      aud: registry.loginServer,
      version: '1.0' as const,
      roles: [],
      registry: registry.uid,
      principal: principal.uid,
      ...(credentialUid === undefined ? {} : { credential: credentialUid }),
      epoch,
      ...(isTrustedService ? { trusted: true as const } : {}),
    } satisfies Omit<RefreshTokenClaims, 'grant_type' | 'tenant' | 'permissions'>;
  }
}

function readAs<Claims extends { readonly registry: string }>(
  schema: z.ZodType<Claims>,
  token: string,
  registry: Registry,
  payload: unknown,
): ReadToken<Claims> | undefined {
  const claims = schema.safeParse(payload).data;
  const keyId = keyIdOf(token);
  return claims?.registry === registry.uid && keyId !== undefined ? { claims, keyId } : undefined;
}

function copyOf({ type, name, actions }: AccessScope) {
  return { type, name, actions: [...actions] };
}
