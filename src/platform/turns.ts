import { BerthError } from '../core/errors.ts';

export type TurnLimits = {
  /** At once. */
  readonly running: number;
  /** Behind those; who comes after them is told to come back. */
  readonly waiting: number;
  readonly retryAfterSeconds: number;
};

/** Lets a few pieces of work that cost much run at once, and keeps the others waiting in their order. */
export class Turns {
  readonly #limits: TurnLimits;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** Throws `tooManyRequests` when too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#turn();
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  /** Resolves when one of the places is ours; the one who leaves hands it over. */
  async #turn(): Promise<void> {
    const { running, waiting, retryAfterSeconds } = this.#limits;
    if (this.#running < running) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= waiting) throw new BerthError('tooManyRequests', undefined, { retryAfterSeconds });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    await promise;
  }
}
