import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { AccessTokenClaims, RefreshTokenClaims } from '../../wire/token/token-claims.ts';
import { CredentialCache } from '../identity/credential-cache.ts';
import { createFindStanding, type FindStanding } from '../identity/principal-store.ts';
import type { SignIn } from '../identity/sign-in.ts';
import type { Directory } from '../registries/directory.ts';
import type { Registry } from '../registries/registry.ts';
import { parseAuthorization } from './authorization-header.ts';
import { type Caller, type Identity, KnownCaller, type ShownToken, stranger } from './caller.ts';
import type { Circumstances } from './decision.ts';
import { admits, isLoopback } from './network-rules.ts';
import type { ReadToken, RegistryTokens } from './registry-tokens.ts';
import { hasRunToken } from './run-tokens.ts';
import { tokenUserName } from './token-user-name.ts';

const nobody = stranger();
/** Those of registries: network rules are about them, and tokens of registries open them. */
const registrySurfaces: readonly Circumstances['surface'][] = ['oci', 'acr', 'token'];

export type CallersParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly directory: Directory;
  readonly signIn: SignIn;
  readonly tokens: RegistryTokens;
  readonly accessLog: AccessLog;
};

/**
 * Finds out who sends a request, from where it may come; credentials that were right are known again without a query or a
 * signature check. Every method throws `networkDenied` before it looks at the credentials, and answers undefined for wrong ones.
 */
export class Callers {
  readonly #parts: CallersParts;
  readonly #findStanding: FindStanding;
  readonly #cache: CredentialCache<Caller>;

  constructor(parts: CallersParts) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
    this.#cache = new CredentialCache(parts.clock, parts.ids);
  }

  /** Throws `tooManyAttempts`. */
  async ofHeader(header: string | undefined, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    if (!(await this.#isAdmittedNow(registry, from, false))) return await this.#ofService(header, registry, from);
    if (header === undefined) return this.#from(nobody, registry, from);
    const key = `${registry.uid} ${header}`;
    const caller = await this.#cache.get(key, () => this.#check(header, registry, from));
    return caller && this.#from(caller, registry, from);
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

  /** Of a refresh token of the registry whose secret still stands. */
  async ofRefreshToken(token: string, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    return await this.ofPassword({ userName: tokenUserName, password: token }, registry, from);
  }

  /** A principal with a credential that has just been checked elsewhere. */
  async ofCredential(
    { principalUid, credentialUid }: { readonly principalUid: string; readonly credentialUid: string },
    registry: Registry,
    from: Circumstances,
  ): Promise<Caller | undefined> {
    await this.requireNetwork(registry, from);
    const caller = await this.#known(principalUid, credentialUid);
    return caller && this.#from(caller, registry, from);
  }

  /** Throws `networkDenied`. */
  async requireNetwork(registry: Registry, from: Circumstances): Promise<void> {
    if (!(await this.#isAdmittedNow(registry, from, false))) throw this.#networkDenied(registry, from);
  }

  /**
   * Whether the agent of a run that goes on may be asking from this machine where to sign in, at a registry that lets in services
   * alone. Clients ask that before they show anything; what they bring then decides. At other times, and from elsewhere, the
   * question is refused.
   */
  async awaitsService(registry: Registry, from: Circumstances): Promise<boolean> {
    if (!isLoopback(from.address)) return false;
    if (this.#isAdmitted(registry, from, false) || !this.#isAdmitted(registry, from, true)) return false;
    const { database, clock } = this.#parts;
    return await hasRunToken(database.read, clock.nowMicros());
  }

  /** Rules that let someone in who was kept out are looked for at once. */
  async #isAdmittedNow(registry: Registry, from: Circumstances, isTrustedService: boolean): Promise<boolean> {
    if (this.#isAdmitted(registry, from, isTrustedService)) return true;
    await this.#parts.directory.refresh();
    return this.#isAdmitted(registry, from, isTrustedService);
  }

  /** Somebody whom only the token of a service lets in; whoever shows anything else learns nothing about it. */
  async #ofService(header: string | undefined, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    if (header === undefined || !this.#isAdmitted(registry, from, true)) throw this.#networkDenied(registry, from);
    const caller = await this.#cache.get(`service ${registry.uid} ${header}`, async () =>
      (await this.#isOfService(header, registry)) ? await this.#check(header, registry, from) : undefined,
    );
    if (caller === undefined) throw this.#networkDenied(registry, from);
    return this.#from(caller, registry, from);
  }

  async #isOfService(header: string, registry: Registry): Promise<boolean> {
    const { tokens, directory } = this.#parts;
    const shown = parseAuthorization(header);
    const epoch = directory.epoch();
    if (shown.kind === 'bearer')
      return (await tokens.readAccessToken(shown.token, registry, epoch))?.claims.trusted === true;
    if (shown.kind !== 'basic' || shown.userName !== tokenUserName) return false;
    return (await tokens.readRefreshToken(shown.password, registry, epoch))?.claims.trusted === true;
  }

  async #check(header: string, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    const authorization = parseAuthorization(header);
    switch (authorization.kind) {
      case 'basic': {
        const { userName, password } = authorization;
        if (userName === tokenUserName) return await this.#ofShownRefreshToken(password, registry, from);
        const standing = await this.#parts.signIn({ registryUid: registry.uid, userName, password, from });
        return standing && new KnownCaller({ clock: this.#parts.clock, findStanding: this.#findStanding, standing });
      }
      case 'bearer':
        return await this.#ofAccessToken(authorization.token, registry);
      default:
        return undefined;
    }
  }

  /** One line of the access log, like every other sign-in. */
  async #ofShownRefreshToken(text: string, registry: Registry, from: Circumstances): Promise<Caller | undefined> {
    const read = await this.#parts.tokens.readRefreshToken(text, registry, this.#parts.directory.epoch());
    const { principal, credential } = read?.claims ?? {};
    const caller =
      read === undefined || principal === undefined || credential === undefined
        ? undefined
        : await this.#known(principal, credential, shownToken(read, 'refresh', read.claims.limits));
    const { address, correlationId, userAgent } = from;
    this.#parts.accessLog.record({
      kind: 'signIn',
      registryUid: registry.uid,
      identity: principal ?? 'unknown',
      ...(caller === undefined ? {} : { principalKind: caller.principalKind }),
      address,
      correlationId,
      status: caller === undefined ? 401 : 200,
      ...(userAgent === undefined ? {} : { userAgent }),
    });
    return caller;
  }

  async #ofAccessToken(text: string, registry: Registry): Promise<Caller | undefined> {
    const read = await this.#parts.tokens.readAccessToken(text, registry, this.#parts.directory.epoch());
    if (read === undefined) return undefined;
    const { claims } = read;
    // Another process granted it at an epoch this one has not seen yet.
    await this.#parts.directory.catchUp(claims.epoch);
    const token = shownToken(read, 'access', claims.access);
    if (claims.credential !== undefined) return await this.#known(claims.principal, claims.credential, token);
    return stranger({ ...token, clock: this.#parts.clock });
  }

  async #known(principalUid: string, credentialUid: string, token?: ShownToken): Promise<KnownCaller | undefined> {
    const standing = await this.#findStanding(principalUid, credentialUid);
    const parts = { clock: this.#parts.clock, findStanding: this.#findStanding };
    return standing && new KnownCaller({ ...parts, standing, ...(token && { token }) });
  }

  /**
   * The caller as one request brings it: asked again at a newer epoch, what the registry says is read again too, and which
   * keys stand. A refresh token stands for the secret behind it in its registry alone: nobody administers with it.
   */
  #from(caller: Caller, registry: Registry, from: Circumstances): Caller | undefined {
    const { kind, access, issuedAtEpoch, isTrustedService, keyId } = caller;
    const isRefreshToken = issuedAtEpoch !== undefined && kind === 'basic';
    if (isRefreshToken && !registrySurfaces.includes(from.surface)) return undefined;
    const identity = async (asked: number): Promise<Identity | undefined> => {
      const known = await caller.identity(asked);
      if (!this.#isAdmitted(registry, from, isTrustedService)) throw this.#networkDenied(registry, from);
      const newest = Math.max(asked, this.#parts.directory.epoch());
      if (keyId !== undefined && !(await this.#parts.tokens.stands(keyId, newest))) return undefined;
      const { credentialsEpoch = 0 } = this.#parts.directory.byUid(registry.uid) ?? {};
      if (issuedAtEpoch !== undefined && issuedAtEpoch < credentialsEpoch) return undefined;
      // The rules that were looked at are of the directory's epoch, whatever is loaded next.
      const epoch = this.#parts.directory.epoch();
      return known === undefined || known.epoch <= epoch ? known : { ...known, epoch };
    };
    return { kind, access, issuedAtEpoch, isTrustedService, keyId, identity };
  }

  #isAdmitted({ uid }: Registry, { address, surface }: Circumstances, isTrustedService: boolean): boolean {
    const registry = this.#parts.directory.byUid(uid);
    if (registry === undefined || !registrySurfaces.includes(surface)) return true;
    return admits(registry.network, { address, isTrustedService });
  }

  #networkDenied({ uid }: Registry, { address, correlationId, userAgent }: Circumstances): BerthError {
    this.#parts.accessLog.record({
      kind: 'denial',
      registryUid: uid,
      identity: 'unknown',
      address,
      correlationId,
      status: 403,
      reason: 'network rules',
      ...(userAgent === undefined ? {} : { userAgent }),
    });
    return new BerthError('networkDenied');
  }
}

function shownToken(
  { claims: { exp, epoch, trusted }, keyId }: ReadToken<RefreshTokenClaims | AccessTokenClaims>,
  kind: ShownToken['kind'],
  access: Caller['access'],
): ShownToken {
  return { kind, access, isTrustedService: trusted === true, expiresAtMicros: exp * 1_000_000, epoch, keyId };
}
