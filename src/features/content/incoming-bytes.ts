import { BerthError } from '../../core/errors.ts';
import type { BlobStore, PartPlace, StoredPart, StoreHandle } from '../../platform/blob-store/blob-store.ts';
import type { IncomingDigest } from './incoming-digest.ts';

/** The body of a request that pushes a blob. `bytes` throws when the client goes away or is too slow. */
export type IncomingBytes = {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Content-Length; undefined when the body is chunked. */
  readonly lengthBytes: number | undefined;
};

/** What arrived. `failure` is why no more did; what came before it is stored all the same. */
export type Received = { readonly part: StoredPart | undefined; readonly failure: unknown };

/**
 * Stores a body as one part while taking its digest. An empty body stores no part.
 * Throws `blobTooLarge` past `maxBytes`, and what the store throws.
 */
export async function receive(
  store: BlobStore,
  into: { readonly handle: StoreHandle; readonly place: PartPlace; readonly maxBytes: number },
  body: IncomingBytes,
  digest: IncomingDigest | undefined,
): Promise<Received> {
  if (body.lengthBytes === 0) return { part: undefined, failure: undefined };
  if (body.lengthBytes !== undefined && into.place.offset + body.lengthBytes > into.maxBytes)
    throw tooLarge(into.maxBytes);
  const source = body.bytes[Symbol.asyncIterator]();
  const state: { failure: unknown; total: number } = { failure: undefined, total: into.place.offset };
  const next = async (): Promise<Uint8Array | undefined> => {
    try {
      const { done, value } = await source.next();
      return done === true ? undefined : value;
    } catch (failure) {
      state.failure = failure;
      return undefined;
    }
  };
  const first = await next();
  if (first === undefined) return { part: undefined, failure: state.failure };
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let chunk = first; chunk !== undefined; chunk = await next()) {
      state.total += chunk.length;
      if (state.total > into.maxBytes) throw tooLarge(into.maxBytes);
      digest?.update(chunk);
      yield chunk;
    }
  }
  const part = await store.part(into.handle, into.place, chunks());
  return { part, failure: state.failure };
}

function tooLarge(maxBytes: number): BerthError {
  return new BerthError('blobTooLarge', { maxBytes });
}
