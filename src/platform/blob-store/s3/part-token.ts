import { z } from 'zod';
import { BlobMissing, type PartToken } from '../blob-store.ts';
import type { NamedPart } from './s3-bucket.ts';

/** Bytes behind the last part of S3, in an object of their own. */
export type Tail = { readonly start: number; readonly sizeBytes: number; readonly etag: string };

/** What one `part` of the contract stored: some parts of a multipart upload, and the tail behind them. */
export type TokenContent = {
  /** Empty while there are no parts. */
  readonly uploadId: string;
  readonly parts: readonly (NamedPart & { readonly sizeBytes: number })[];
  /** Takes the place of the tail of the token before. */
  readonly tail: Tail | undefined;
  readonly sizeBytes: number;
};

const tokenSchema = z.strictObject({
  u: z.string(),
  p: z.array(z.tuple([z.number(), z.string(), z.string(), z.number()])),
  t: z.tuple([z.number(), z.number(), z.string()]).optional(),
  n: z.number(),
});

/** Short names: the row of an upload holds the tokens of all its chunks. */
export function writeToken({ uploadId, parts, tail, sizeBytes }: TokenContent): PartToken {
  return JSON.stringify({
    u: uploadId,
    p: parts.map((part) => [part.number, part.etag, part.checksum, part.sizeBytes]),
    ...(tail !== undefined && { t: [tail.start, tail.sizeBytes, tail.etag] }),
    n: sizeBytes,
  });
}

function readToken(token: PartToken): TokenContent {
  const { u, p, t, n } = tokenSchema.parse(JSON.parse(token));
  return {
    uploadId: u,
    parts: p.map(([number, etag, checksum, sizeBytes]) => ({ number, etag, checksum, sizeBytes })),
    tail: t && { start: t[0], sizeBytes: t[1], etag: t[2] },
    sizeBytes: n,
  };
}

/** A whole unfinished blob. */
export type Unfinished = Omit<TokenContent, 'tail'> & {
  readonly tail: Tail | undefined;
  /** Tails whose bytes are in later parts or tails. */
  readonly oldTails: readonly Tail[];
};

/** Puts tokens together, in their order. Throws BlobMissing when they do not make one blob. */
export function unfinishedOf(tokens: readonly PartToken[]): Unfinished {
  const contents = tokens.map(readToken);
  const parts = contents.flatMap((content) => content.parts);
  const uploadIds = new Set(contents.flatMap(({ uploadId }) => (uploadId === '' ? [] : [uploadId])));
  const sizeBytes = contents.reduce((total, content) => total + content.sizeBytes, 0);
  const tails = contents.flatMap(({ tail }) => tail ?? []);
  const tail = contents.at(-1)?.tail;
  const held = parts.reduce((total, part) => total + part.sizeBytes, 0) + (tail?.sizeBytes ?? 0);
  if (held !== sizeBytes || uploadIds.size > 1) throw new BlobMissing('the parts do not make one blob');
  const [uploadId = ''] = uploadIds;
  return { uploadId, parts, tail, sizeBytes, oldTails: tails.filter((old) => old !== tail) };
}
