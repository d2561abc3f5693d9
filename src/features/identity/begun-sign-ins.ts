import { addressKey } from '../../core/address-key.ts';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { FailedAttempts } from './failed-attempts.ts';

/** By one address in a minute. */
const maxBegun = 30;

/** Slows strangers who begin one sign-in after another: each is kept for minutes. State of this process. */
export class BegunSignIns {
  readonly #byAddress: FailedAttempts;

  constructor(clock: Clock) {
    this.#byAddress = new FailedAttempts(clock, maxBegun);
  }

  /** Throws `tooManyRequests`. */
  count(address: string): void {
    const key = addressKey(address);
    const retryAfterSeconds = this.#byAddress.waitSeconds(key);
    if (retryAfterSeconds > 0) throw new BerthError('tooManyRequests', undefined, { retryAfterSeconds });
    this.#byAddress.count(key);
  }
}
