/** From 1 on. One that was given back is taken last: others may know what it named as that of who had it. */
export class Numbers {
  readonly #max: number;
  readonly #given: number[] = [];
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Undefined where all are taken. */
  take(): number | undefined {
    if (this.#taken === this.#max) return this.#given.shift();
    this.#taken += 1;
    return this.#taken;
  }

  give(number: number): void {
    this.#given.push(number);
  }
}
