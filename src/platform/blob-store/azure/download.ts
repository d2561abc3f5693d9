import type { BlobClient } from '@azure/storage-blob';
import type { Clock } from '../../clock.ts';
import type { ByteRange } from '../blob-store.ts';
import { type Blocks, freshBlocks } from '../file-reader.ts';
import { emptyAnswer, resumedRead, type StoreAnswer } from '../resumed-read.ts';
import { isStatus, orMissing } from './azure-fault.ts';
import { SilentBody } from './silent-body.ts';

export type Download = { readonly range: ByteRange | undefined; readonly clock: Clock; readonly blocks: Blocks };

/** What a blob holds. Throws BlobMissing. */
export function download(blob: BlobClient, how: Download): AsyncGenerator<Uint8Array> {
  return resumedRead({ ...how, open: (start, end) => answerOf(blob, start, end) });
}

/** All that a small blob holds. Throws BlobMissing. */
export async function downloadWhole(blob: BlobClient, clock: Clock): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of download(blob, { range: undefined, clock, blocks: freshBlocks })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function answerOf(blob: BlobClient, start: number, end: number | undefined): Promise<StoreAnswer> {
  try {
    const { _response, contentLength } = await blob.download(start, end === undefined ? undefined : end - start);
    // The stream as our client gave it, which the SDK's types do not name.
    const body: unknown = Reflect.get(_response, 'readableStreamBody');
    if (!(body instanceof SilentBody)) throw new Error('the answer of the store has no body');
    return { bytes: body.bytes, lengthBytes: contentLength };
  } catch (cause) {
    if (isStatus(cause, 416)) return emptyAnswer();
    throw orMissing(cause);
  }
}
