import { Readable } from 'node:stream';

/**
 * An answer's body as the SDK wants it, a stream, that gives nothing to whoever listens: the stream that the SDK makes of it would read
 * some pieces ahead of a reader that stalls. `download` takes `bytes`.
 */
export class SilentBody extends Readable {
  readonly bytes: AsyncIterable<Uint8Array>;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    super();
    this.bytes = bytes;
  }

  override _read(): void {}
}
