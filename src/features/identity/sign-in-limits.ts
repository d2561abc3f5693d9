import { addressKey } from '../../core/address-key.ts';
import type { Clock } from '../../platform/clock.ts';
import { FailedAttempts } from './failed-attempts.ts';

const maxKnownPlaces = 20_000;

/** Who is guessed at, from where. */
export type Guess = { readonly userName: string; readonly address: string };

/** Heard: counted as failed until `succeeded` is called, or `withdraw` when it could not be judged. */
export type Hearing =
  | { readonly kind: 'heard'; readonly succeeded: () => void; readonly withdraw: () => void }
  | { readonly kind: 'unheard'; readonly waitSeconds: number };

/**
 * Slows guessing: after ten failures in a minute a user name, and an address, are not heard for the rest of it.
 * An address that has signed in as the user before is held back by its own failures only, so that strangers cannot lock
 * the user out there (docs/decisions/sign-in-throttling.md). State of this process.
 */
export class SignInLimits {
  readonly #byUser: FailedAttempts;
  readonly #byAddress: FailedAttempts;
  readonly #knownPlaces = new Set<string>();

  constructor(clock: Clock) {
    this.#byUser = new FailedAttempts(clock);
    this.#byAddress = new FailedAttempts(clock);
  }

  hear({ userName, address }: Guess): Hearing {
    const from = addressKey(address);
    const place = `${from} ${userName}`;
    const userWait = this.#knownPlaces.has(place) ? 0 : this.#byUser.waitSeconds(userName);
    const waitSeconds = Math.max(this.#byAddress.waitSeconds(from), userWait);
    if (waitSeconds > 0) return { kind: 'unheard', waitSeconds };
    const counted = [this.#byAddress.count(from), this.#byUser.count(userName)];
    const withdraw = () => {
      for (const undo of counted) undo();
    };
    const succeeded = () => {
      withdraw();
      this.#remember(place);
    };
    return { kind: 'heard', succeeded, withdraw };
  }

  #remember(place: string): void {
    this.#knownPlaces.delete(place);
    this.#knownPlaces.add(place);
    const oldest = this.#knownPlaces.size > maxKnownPlaces ? this.#knownPlaces.values().next().value : undefined;
    if (oldest !== undefined) this.#knownPlaces.delete(oldest);
  }
}
