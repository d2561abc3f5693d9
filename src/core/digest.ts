import { BerthError } from './errors.ts';

/** The digest algorithms a registry stores content under. Source: OCI image specification, "Registered algorithms". */
export const digestAlgorithms = ['sha256', 'sha512'] as const;
export type DigestAlgorithm = (typeof digestAlgorithms)[number];

const hexLength: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 };
const maxLength = 'sha512:'.length + hexLength.sha512;

declare const digestBrand: unique symbol;
/** A checked digest in its canonical text form, `algorithm:hex` in lower case. */
export type Digest = string & { readonly [digestBrand]: true };

export function isDigest(text: string): text is Digest {
  if (text.length > maxLength) return false;
  const colon = text.indexOf(':');
  const algorithm = digestAlgorithms.find((known) => known === text.slice(0, colon));
  if (algorithm === undefined) return false;
  const hex = text.slice(colon + 1);
  return hex.length === hexLength[algorithm] && /^[0-9a-f]+$/.test(hex);
}

/** Throws `digestInvalid` for anything but a well-formed sha256 or sha512 digest. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new BerthError('digestInvalid', { digest: text.slice(0, maxLength) });
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** Joins an algorithm and the lower-case hex of a finished hash. */
export function digestOf(algorithm: DigestAlgorithm, hex: string): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}
