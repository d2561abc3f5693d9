import { addressKey } from '../../core/address-key.ts';
import { BerthError } from '../../core/errors.ts';
import type { Principal } from '../../features/identity/principal.ts';

/** Of one process; each costs a look at the journal a second. */
const maxFollowers = 500;
const maxStrangers = 100;
const maxOfPrincipal = 20;
/** Strangers are one principal: they are told apart by address. */
const maxOfStrangersAddress = 5;

/** Who follows events: so many at once that there are always places for others. */
export class Followers {
  readonly #counts = new Map<string, number>();

  /** Takes a place and answers how to leave it. Throws `busy`. */
  enter(principal: Principal, address: string): () => void {
    const places: readonly (readonly [key: string, limit: number])[] = [
      ['all', maxFollowers],
      ...(principal.kind === 'anonymous'
        ? ([
            ['strangers', maxStrangers],
            [`address ${addressKey(address)}`, maxOfStrangersAddress],
          ] as const)
        : ([[`principal ${principal.uid}`, maxOfPrincipal]] as const)),
    ];
    if (places.some(([key, limit]) => this.#count(key) >= limit))
      throw new BerthError('busy', undefined, { retryAfterSeconds: 10 });
    for (const [key] of places) this.#counts.set(key, this.#count(key) + 1);
    let isInside = true;
    return () => {
      if (isInside) for (const [key] of places) this.#release(key);
      isInside = false;
    };
  }

  #count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  #release(key: string): void {
    const left = this.#count(key) - 1;
    if (left > 0) this.#counts.set(key, left);
    else this.#counts.delete(key);
  }
}
