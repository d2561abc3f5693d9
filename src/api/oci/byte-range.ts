import { BerthError } from '../../core/errors.ts';
import type { ChunkRange } from '../../features/content/uploads.ts';
import type { ByteRange } from '../../platform/blob-store/blob-store.ts';

/** A Range header read against content of a size: nothing usable, one range, or one that lies outside. */
export type RangeRequest =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  | { readonly kind: 'unsatisfiable' };

/**
 * Reads a Range header of one range. Several ranges and other units are answered with the whole, as RFC 9110 section 14.2
 * allows.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RangeRequest {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return { kind: 'whole' };
  const start = first === '' ? Math.max(sizeBytes - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start >= end) return { kind: 'unsatisfiable' };
  return { kind: 'part', range: { start, end } };
}

/**
 * Splits a chunked upload's `Content-Range` header.
 * Takes `"start-end"` in bytes, both inclusive, also in RFC 9110's form `bytes start-end/*`. Throws `contentRangeInvalid`.
 * Source: OCI distribution specification, "Pushing a blob in chunks".
 */
export function parseContentRange(header: string | undefined): ChunkRange | undefined {
  if (header === undefined) return undefined;
  const [, start, end] = /^(?:bytes )?(\d{1,15})-(\d{1,15})(?:\/(?:\*|\d{1,15}))?$/.exec(header.trim()) ?? [];
  if (start === undefined || end === undefined || Number(end) < Number(start)) {
    throw new BerthError('contentRangeInvalid', { contentRange: header.slice(0, 80) });
  }
  return { start: Number(start), lengthBytes: Number(end) - Number(start) + 1 };
}
