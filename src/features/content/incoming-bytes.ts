import { BerthError } from '../../core/errors.ts';
import type { BlobStore, PartPlace, StoredPart, StoreHandle } from '../../platform/blob-store/blob-store.ts';
import type { IncomingDigest } from './incoming-digest.ts';

/** The body of a request that pushes a blob. `bytes` throws when the client goes away or is too slow. */
export type IncomingBytes = {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** What the request announces, by Content-Length or Content-Range; undefined when it says nothing. */
  readonly lengthBytes: number | undefined;
};

/** What arrived. `failure` is why no more did; what came before it is stored all the same. */
export type Received = { readonly part: StoredPart | undefined; readonly failure: unknown };

/**
 * Stores a body as one part while taking its digest. An empty body stores no part.
 * Throws `blobTooLarge` past `maxBytes`, `sizeInvalid` when a whole body is not as long as announced, and what the store throws.
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
  const checkLength = (isWhole: boolean) => {
    const { lengthBytes: announced } = body;
    const sent = state.total - into.place.offset;
    const isWrong = sent > (announced ?? sent) || (isWhole && sent < (announced ?? sent));
    if (isWrong) throw new BerthError('sizeInvalid', { announced, sent });
  };
  async function* chunks(first: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let chunk: Uint8Array | undefined = first; chunk !== undefined; chunk = await next()) {
      state.total += chunk.length;
      if (state.total > into.maxBytes) throw tooLarge(into.maxBytes);
      checkLength(false);
      digest?.update(chunk);
      yield chunk;
    }
    checkLength(state.failure === undefined);
  }
  try {
    const first = await next();
    const part = first === undefined ? undefined : await store.part(into.handle, into.place, chunks(first));
    checkLength(state.failure === undefined);
    return { part, failure: state.failure };
  } finally {
    await source.return?.();
  }
}

function tooLarge(maxBytes: number): BerthError {
  return new BerthError('blobTooLarge', { maxBytes });
}
