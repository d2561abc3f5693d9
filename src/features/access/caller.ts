import type { AccessScope } from '../../core/scope.ts';
import type { Clock } from '../../platform/clock.ts';
import { anonymous, type Principal } from '../identity/principal.ts';
import type { FindStanding, Standing } from '../identity/principal-store.ts';

/** Who a caller is at an access epoch. */
export type Identity = {
  readonly principal: Principal;
  /** Uid of the secret that was shown; undefined for strangers. */
  readonly credentialUid: string | undefined;
  readonly epoch: number;
};

/** Whoever sent a request. */
export type Caller = {
  /** `basic` stands for every form in which a secret is shown. */
  readonly kind: 'none' | 'basic' | 'token';
  /** What the access token was granted; undefined when none was shown. */
  readonly access: readonly AccessScope[] | undefined;
  /** At this epoch or a newer one; undefined when the credentials have expired, or are gone since they were checked. */
  readonly identity: (epoch: number) => Promise<Identity | undefined>;
};

/** Somebody who showed nothing, or a token for anonymous pull. */
export function stranger(token?: { readonly access: readonly AccessScope[]; readonly isLive: () => boolean }): Caller {
  return {
    kind: token === undefined ? 'none' : 'token',
    access: token?.access,
    identity: async (epoch) =>
      token === undefined || token.isLive() ? { principal: anonymous, credentialUid: undefined, epoch } : undefined,
  };
}

export type KnownCallerParts = {
  readonly clock: Clock;
  readonly findStanding: FindStanding;
  readonly standing: Standing;
  /** Set for an access token. */
  readonly token?: { readonly access: readonly AccessScope[]; readonly expiresAtMicros: number };
};

/**
 * A principal whose secret or token was right when checked. When the epoch moves, its row and the secret's are read again,
 * once for all requests that wait; the secret itself is not needed for it, as a changed one is another row.
 */
export class KnownCaller implements Caller {
  readonly kind: 'basic' | 'token';
  readonly access: readonly AccessScope[] | undefined;
  readonly #clock: Clock;
  readonly #findStanding: FindStanding;
  readonly #tokenExpiresAtMicros: number;
  #standing: Standing;
  #reading: Promise<Standing | undefined> | undefined;

  constructor({ clock, findStanding, standing, token }: KnownCallerParts) {
    this.kind = token === undefined ? 'basic' : 'token';
    this.access = token?.access;
    this.#clock = clock;
    this.#findStanding = findStanding;
    this.#tokenExpiresAtMicros = token?.expiresAtMicros ?? Number.POSITIVE_INFINITY;
    this.#standing = standing;
  }

  async identity(epoch: number): Promise<Identity | undefined> {
    const standing = this.#standing.epoch >= epoch ? this.#standing : await this.#read(epoch);
    if (standing === undefined) return undefined;
    const expiresAtMicros = Math.min(this.#tokenExpiresAtMicros, standing.expiresAtMicros ?? Number.POSITIVE_INFINITY);
    return expiresAtMicros > this.#clock.nowMicros() ? standing : undefined;
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
