import { Readable } from 'node:stream';

/** A stream, as SDKs want one, that holds nothing: whoever stalls would otherwise keep a piece more in memory. */
export function readOnDemand(bytes: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(bytes, { objectMode: false, highWaterMark: 0 });
}
