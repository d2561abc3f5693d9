import type { AccessScope } from '../../core/scope.ts';
import type { Clock } from '../../platform/clock.ts';
import { anonymous, type Principal } from '../identity/principal.ts';
import type { FindStanding, Standing } from '../identity/principal-store.ts';
import { clockSkewSeconds } from '../identity/signing-keys.ts';

/** Who a caller is at an access epoch. */
export type Identity = {
  readonly principal: Principal;
  /** Uid of the secret that was shown; undefined for strangers. */
  readonly credentialUid: string | undefined;
  readonly epoch: number;
  /** When the secret or token that was shown ends, in microseconds; infinite for one that does not. */
  readonly expiresAtMicros: number;
};

const never = Number.POSITIVE_INFINITY;
const skewMicros = clockSkewSeconds * 1_000_000;

/** Whoever sent a request. */
export type Caller = {
  /** `basic` stands for every form in which a secret is shown. */
  readonly kind: 'none' | 'basic' | 'token';
  /** What the access token was granted, or the refresh token is limited to; undefined for all that the principal may do. */
  readonly access: readonly AccessScope[] | undefined;
  /** Access epoch at which the token that was shown was issued; undefined without one. */
  readonly issuedAtEpoch: number | undefined;
  /** A service of the installation, by its token. */
  readonly isTrustedService: boolean;
  /** The key that signed the token that was shown; undefined without one. */
  readonly keyId: string | undefined;
  /** At this epoch or a newer one; undefined when the credentials have expired, or are gone since they were checked. */
  readonly identity: (epoch: number) => Promise<Identity | undefined>;
};

/** A token that was shown. */
export type ShownToken = {
  /** A refresh token stands for the secret behind it. */
  readonly kind: 'access' | 'refresh';
  /** What an access token was granted, or a refresh token is limited to, if it is. */
  readonly access: readonly AccessScope[] | undefined;
  readonly isTrustedService: boolean;
  /** As the token says it; the clocks' difference is forgiven on top. */
  readonly expiresAtMicros: number;
  /** Access epoch at which it was issued. */
  readonly epoch: number;
  readonly keyId: string;
};

/** Somebody who showed nothing, or a token for anonymous pull. */
export function stranger(token?: ShownToken & { readonly clock: Clock }): Caller {
  const { expiresAtMicros = never } = token ?? {};
  const isLive = () => token === undefined || expiresAtMicros + skewMicros > token.clock.nowMicros();
  return {
    kind: token === undefined ? 'none' : 'token',
    access: token?.access,
    issuedAtEpoch: token?.epoch,
    isTrustedService: false,
    keyId: token?.keyId,
    identity: async (epoch) =>
      isLive() ? { principal: anonymous, credentialUid: undefined, epoch, expiresAtMicros } : undefined,
  };
}

export type KnownCallerParts = {
  readonly clock: Clock;
  readonly findStanding: FindStanding;
  readonly standing: Standing;
  readonly token?: ShownToken;
};

/**
 * A principal whose secret or token was right when checked. When the epoch moves, its row and the secret's are read again,
 * once for all requests that wait; the secret itself is not needed for it, as a changed one is another row.
 */
export class KnownCaller implements Caller {
  readonly kind: 'basic' | 'token';
  readonly access: readonly AccessScope[] | undefined;
  readonly issuedAtEpoch: number | undefined;
  readonly isTrustedService: boolean;
  readonly keyId: string | undefined;
  readonly principalKind: Principal['kind'];
  readonly #clock: Clock;
  readonly #findStanding: FindStanding;
  readonly #tokenExpiresAtMicros: number;
  #standing: Standing;
  #reading: Promise<Standing | undefined> | undefined;

  constructor({ clock, findStanding, standing, token }: KnownCallerParts) {
    this.kind = token?.kind === 'access' ? 'token' : 'basic';
    this.access = token?.access;
    this.issuedAtEpoch = token?.epoch;
    this.isTrustedService = token?.isTrustedService ?? false;
    this.keyId = token?.keyId;
    this.principalKind = standing.principal.kind;
    this.#clock = clock;
    this.#findStanding = findStanding;
    this.#tokenExpiresAtMicros = token?.expiresAtMicros ?? never;
    this.#standing = standing;
  }

  async identity(epoch: number): Promise<Identity | undefined> {
    const standing = this.#standing.epoch >= epoch ? this.#standing : await this.#read(epoch);
    if (standing === undefined) return undefined;
    const { principal, credentialUid, expiresAtMicros: secretExpiresAtMicros = never } = standing;
    const nowMicros = this.#clock.nowMicros();
    if (secretExpiresAtMicros <= nowMicros || this.#tokenExpiresAtMicros + skewMicros <= nowMicros) return undefined;
    const expiresAtMicros = Math.min(this.#tokenExpiresAtMicros, secretExpiresAtMicros);
    return { principal, credentialUid, epoch: standing.epoch, expiresAtMicros };
  }

  async #read(epoch: number): Promise<Standing | undefined> {
    const standing = await (this.#reading ?? this.#startReading());
    // A reading that was under way may have begun before the epoch was raised; the next one has not.
    return standing === undefined || standing.epoch >= epoch ? standing : await this.#startReading();
  }

  #startReading(): Promise<Standing | undefined> {
    const { principal, credentialUid } = this.#standing;
    const reading = this.#findStanding(principal.uid, credentialUid)
      .then((standing) => {
        if (standing !== undefined && standing.epoch > this.#standing.epoch) this.#standing = standing;
        return standing;
      })
      .finally(() => {
        if (this.#reading === reading) this.#reading = undefined;
      });
    this.#reading = reading;
    return reading;
  }
}
