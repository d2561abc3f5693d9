/** Whether two streams hold the same bytes; stops at the first difference. */
export async function sameBytes(left: AsyncIterable<Uint8Array>, right: AsyncIterable<Uint8Array>): Promise<boolean> {
  const a = new Cursor(left);
  const b = new Cursor(right);
  try {
    while (true) {
      const [one, other] = await Promise.all([a.rest(), b.rest()]);
      if (one.length === 0 || other.length === 0) return one.length === other.length;
      const length = Math.min(one.length, other.length);
      if (Buffer.compare(one.subarray(0, length), other.subarray(0, length)) !== 0) return false;
      a.advance(length);
      b.advance(length);
    }
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

/** A stream read in steps that are no chunks of its own. */
class Cursor {
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

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
