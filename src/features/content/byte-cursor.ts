/** A stream read in steps that are no chunks of its own. */
export class ByteCursor {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The bytes at hand; empty only at the end. */
  async rest(): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done === true) break;
      this.#rest = value;
    }
    return this.#rest;
  }

  advance(length: number): void {
    this.#rest = this.#rest.subarray(length);
  }

  /** What was not advanced over. */
  async *remaining(): AsyncGenerator<Uint8Array> {
    for (let chunk = await this.rest(); chunk.length > 0; chunk = await this.rest()) {
      this.#rest = new Uint8Array(0);
      yield chunk;
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
