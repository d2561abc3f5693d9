/** Numbers that a seed decides, so that a failure can be seen again (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, and without, `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit);
  }

  pick<T>(all: readonly T[]): T | undefined {
    return all[this.below(all.length)];
  }

  some<T>(all: readonly T[], most: number): T[] {
    const count = Math.min(all.length, this.below(most + 1));
    return [...new Set(Array.from({ length: count }, () => this.pick(all)))].flatMap((each) =>
      each === undefined ? [] : [each],
    );
  }
}
