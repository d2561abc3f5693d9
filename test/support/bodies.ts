import type { IncomingBytes } from '../../src/features/content/incoming-bytes.ts';

/** A body whose length is announced, as most clients send it. */
export function bodyOf(bytes: Uint8Array): IncomingBytes {
  return { bytes: chunksOf([bytes]), lengthBytes: bytes.length };
}

/** A body of unknown length, in these chunks. */
export function streamedBody(...chunks: readonly Uint8Array[]): IncomingBytes {
  return { bytes: chunksOf(chunks), lengthBytes: undefined };
}

export const noBody: IncomingBytes = { bytes: chunksOf([]), lengthBytes: 0 };

export class ConnectionCut extends Error {}

/** A body whose connection breaks after these bytes. */
export function cutBody(bytes: Uint8Array, lengthBytes: number): IncomingBytes {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    if (bytes.length > 0) yield bytes;
    throw new ConnectionCut();
  }
  return { bytes: chunks(), lengthBytes };
}

/** A body that stands still before its last bytes. `begun` resolves when it is first read; `release` lets it end. */
export function heldBody(bytes: Uint8Array) {
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 1);
    begun.resolve();
    await released.promise;
    yield bytes.subarray(1);
  }
  const body: IncomingBytes = { bytes: chunks(), lengthBytes: bytes.length };
  return { body, begun: begun.promise, release: () => released.resolve() };
}

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

/** All bytes of a stream whose chunks may be good only until the next one is asked for. */
export async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream, (chunk) => Uint8Array.from(chunk)));
}
