import type { Hide } from './run-log-text.ts';

export type LearnedHide = {
  readonly hide: Hide;
  /** Of the secrets of the lease, which may get more. */
  readonly version: string;
  /** Of the secrets that it knows. */
  readonly letters: number;
};

/** Those who hide secrets, by lease, the one that was asked last at the end. What they know together has a bound, as has their number. */
export class RecentHides {
  readonly #max: { readonly letters: number; readonly count: number };
  readonly #kept = new Map<string, LearnedHide>();
  #letters = 0;

  constructor(max: { readonly letters: number; readonly count: number }) {
    this.#max = max;
  }

  get(lease: string): LearnedHide | undefined {
    const found = this.#kept.get(lease);
    if (found !== undefined) this.keep(lease, found);
    return found;
  }

  /** In place of what is kept of the lease; those that were asked longest ago go where there is too much. */
  keep(lease: string, learned: LearnedHide): void {
    this.delete(lease);
    this.#kept.set(lease, learned);
    this.#letters += learned.letters;
    for (const oldest of this.#kept.keys()) {
      if (oldest === lease || !this.#isTooMuch()) return;
      this.delete(oldest);
    }
  }

  delete(lease: string): void {
    this.#letters -= this.#kept.get(lease)?.letters ?? 0;
    this.#kept.delete(lease);
  }

  #isTooMuch(): boolean {
    return this.#letters > this.#max.letters || this.#kept.size > this.#max.count;
  }
}
