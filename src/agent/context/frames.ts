/** Several streams as one: pieces with their length in 4 bytes before them, and one of no bytes where a stream ends. */
export async function* framed(streams: AsyncIterable<AsyncIterable<Uint8Array>>): AsyncGenerator<Uint8Array> {
  for await (const stream of streams) {
    for await (const piece of stream) {
      if (piece.byteLength === 0) continue;
      yield lengthOf(piece.byteLength);
      yield piece;
    }
    yield lengthOf(0);
  }
}

/** The streams of `framed`, each to be read to its end before the next. Throws RangeError where one is cut off. */
export async function* unframed(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<AsyncGenerator<Uint8Array, void>, void> {
  const reader = new Reader(source);
  while (await reader.hasMore()) {
    const stream = pieces(reader);
    yield stream;
    for await (const _ of stream) {
      // What nobody read.
    }
  }
}

async function* pieces(reader: Reader): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const [a = 0, b = 0, c = 0, d = 0] = Buffer.concat(await Array.fromAsync(reader.take(4)));
    const length = ((a * 256 + b) * 256 + c) * 256 + d;
    if (length === 0) return;
    yield* reader.take(length);
  }
}

class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async hasMore(): Promise<boolean> {
    while (this.#rest.byteLength === 0) {
      const { value, done } = await this.#source.next();
      if (done === true) return false;
      this.#rest = value;
    }
    return true;
  }

  /** As they came. */
  async *take(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0; ) {
      if (!(await this.hasMore())) throw new RangeError('the archive is cut off');
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.byteLength);
      left -= piece.byteLength;
      yield piece;
    }
  }
}

function lengthOf(length: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}
