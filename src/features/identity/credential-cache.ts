import { hash } from 'node:crypto';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';

const maxEntries = 10_000;
const maxAgeMs = 10 * 60_000;

/**
 * What checked credentials turned out to be, in this process: at most 10,000 of them, for ten minutes each, oldest out
 * first. Kept under a hash that a random key of the process goes into, so neither memory nor the time of a look-up tells
 * a secret. Wrong ones (undefined) are not kept. Several askers for the same credentials at once share one check.
 */
export class CredentialCache<Value> {
  readonly #clock: Clock;
  readonly #key: string;
  readonly #entries = new Map<string, { readonly value: Value; readonly storedAtMs: number }>();
  readonly #checks = new Map<string, Promise<Value | undefined>>();

  constructor(clock: Clock, ids: Ids) {
    this.#clock = clock;
    this.#key = Buffer.from(ids.bytes(32)).toString('hex');
  }

  /** The value of credentials seen before, or what `check` makes of them; a throw passes through. */
  async get(credentials: string, check: () => Promise<Value | undefined>): Promise<Value | undefined> {
    // Never leaves the process, so the plain form of a keyed hash does: nobody can extend what nobody sees.
    const name = hash('sha256', this.#key + credentials, 'base64');
    const entry = this.#entries.get(name);
    if (entry !== undefined && this.#clock.monotonicMs() - entry.storedAtMs < maxAgeMs) return entry.value;
    return await (this.#checks.get(name) ?? this.#check(name, check));
  }

  #check(name: string, check: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const running = check()
      .then((value) => {
        if (value !== undefined) this.#store(name, value);
        return value;
      })
      .finally(() => this.#checks.delete(name));
    this.#checks.set(name, running);
    return running;
  }

  #store(name: string, value: Value): void {
    this.#entries.delete(name);
    this.#entries.set(name, { value, storedAtMs: this.#clock.monotonicMs() });
    const oldest = this.#entries.size > maxEntries ? this.#entries.keys().next().value : undefined;
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}
