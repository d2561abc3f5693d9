import { type Digest, isDigest, parseDigest } from './digest.ts';
import { BerthError } from './errors.ts';

declare const tagBrand: unique symbol;
/** A checked tag name, at most 128 characters. */
export type Tag = string & { readonly [tagBrand]: true };

/** What a manifest route names: a tag, or a manifest by its digest. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest };

const pattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function isTag(text: string): text is Tag {
  return pattern.test(text);
}

/** Throws `tagInvalid`. Source: OCI distribution specification, "Pulling manifests" (`<reference>` as a tag). */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text;
  throw new BerthError('tagInvalid', { tag: text.slice(0, 128) });
}

/** A text with a colon is a digest (throws `digestInvalid`), any other a tag (throws `tagInvalid`). */
export function parseReference(text: string): Reference {
  if (isDigest(text) || text.includes(':')) return { kind: 'digest', digest: parseDigest(text) };
  return { kind: 'tag', tag: parseTag(text) };
}
