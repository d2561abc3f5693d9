import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { CredentialCache } from '../identity/credential-cache.ts';
import { createFindStanding, type FindStanding } from '../identity/principal-store.ts';
import type { SignIn } from '../identity/sign-in.ts';
import { clockSkewSeconds } from '../identity/signing-keys.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import { parseAuthorization } from './authorization-header.ts';
import { type Caller, KnownCaller, stranger } from './caller.ts';
import type { Circumstances } from './decision.ts';
import type { RegistryTokens } from './registry-tokens.ts';

const nobody = stranger();

export type CallersParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly directory: Directory;
  readonly signIn: SignIn;
  readonly tokens: RegistryTokens;
};

/** Finds out who sends a request; credentials that were right are known again without a query or a signature check. */
export class Callers {
  readonly #parts: CallersParts;
  readonly #findStanding: FindStanding;
  readonly #cache: CredentialCache<Caller>;

  constructor(parts: CallersParts) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
    this.#cache = new CredentialCache(parts.clock, parts.ids);
  }

  /** Undefined for wrong credentials of any kind; throws `tooManyAttempts`. */
  async ofHeader(header: string | undefined, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    if (header === undefined) return nobody;
    return await this.#cache.get(`${registry.uid} ${header}`, () => this.#check(header, registry, from));
  }

  /** Like the Basic header of the same name and password. */
  async ofPassword(
    { userName, password }: { readonly userName: string; readonly password: string },
    registry: Registry,
    from: Circumstances,
  ): Promise<Caller | undefined> {
    const credentials = Buffer.from(`${userName}:${password}`).toString('base64');
    return await this.ofHeader(`Basic ${credentials}`, registry, from);
  }

  /** Undefined for anything but a valid refresh token whose secret still stands. */
  async ofRefreshToken(token: string, registry: Registry): Promise<Caller | undefined> {
    const claims = await this.#parts.tokens.readRefreshToken(token, registry);
    if (claims?.credential === undefined) return undefined;
    return await this.#known(claims.principal, claims.credential);
  }

  async #check(header: string, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    const authorization = parseAuthorization(header);
    switch (authorization.kind) {
      case 'basic': {
        const { userName, password } = authorization;
        const standing = await this.#parts.signIn({ registryUid: registry.uid, userName, password, from });
        return standing && new KnownCaller({ clock: this.#parts.clock, findStanding: this.#findStanding, standing });
      }
      case 'bearer':
        return await this.#ofAccessToken(authorization.token, registry);
      default:
        return undefined;
    }
  }

  async #ofAccessToken(text: string, registry: Registry): Promise<Caller | undefined> {
    const claims = await this.#parts.tokens.readAccessToken(text, registry);
    if (claims === undefined) return undefined;
    // Another process granted it at an epoch this one has not seen yet.
    await this.#parts.directory.catchUp(claims.epoch);
    const token = { access: claims.access, expiresAtMicros: (claims.exp + clockSkewSeconds) * 1_000_000 };
    if (claims.credential !== undefined) return await this.#known(claims.principal, claims.credential, token);
    return stranger({ ...token, isLive: () => token.expiresAtMicros > this.#parts.clock.nowMicros() });
  }

  async #known(
    principalUid: string,
    credentialUid: string,
    token?: { readonly access: Caller['access'] & {}; readonly expiresAtMicros: number },
  ): Promise<Caller | undefined> {
    const standing = await this.#findStanding(principalUid, credentialUid);
    const parts = { clock: this.#parts.clock, findStanding: this.#findStanding };
    return standing && new KnownCaller({ ...parts, standing, ...(token && { token }) });
  }
}
