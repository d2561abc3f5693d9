import { SecretFinder } from './secret-finder.ts';

const [lineFeed, carriageReturn] = [10, 13];
const hidden = Buffer.from('***');
/** Shorter texts are in everything: to hide them would leave nothing to read. */
const minMaskedBytes = 4;

/**
 * Ends every line with CRLF, whatever ended it: `az` shows lines no sooner. `isAfterReturn` is whether the byte before these
 * was CR; the answer says the same for what comes next. Source: az wire document, 4.2.
 */
export function withCrlf(
  bytes: Uint8Array,
  isAfterReturn: boolean,
): { readonly bytes: Uint8Array; readonly isAfterReturn: boolean } {
  const out = Buffer.allocUnsafe(bytes.length * 2);
  let length = 0;
  let last = isAfterReturn ? carriageReturn : 0;
  for (const byte of bytes) {
    if (byte === lineFeed && last !== carriageReturn) length = out.writeUInt8(carriageReturn, length);
    length = out.writeUInt8(byte, length);
    last = byte;
  }
  return { bytes: out.subarray(0, length), isAfterReturn: last === carriageReturn };
}

export type Hide = (bytes: Uint8Array) => Uint8Array;

/**
 * Hides texts that stand whole in bytes, and of long ones what begins as they do. Agents hide them too, and those across
 * two pieces. To learn them takes longer than to look for them.
 */
export function hiding(secrets: readonly string[]): Hide {
  const long = secrets.map((text) => Buffer.from(text)).filter((secret) => secret.length >= minMaskedBytes);
  const finder = new SecretFinder(long);
  return (bytes) => {
    const found = finder.find(bytes);
    const pieces: Uint8Array[] = [];
    let shown = 0;
    for (const { start, end } of found) {
      pieces.push(bytes.subarray(shown, start), hidden);
      shown = end;
    }
    return found.length === 0 ? bytes : Buffer.concat([...pieces, bytes.subarray(shown)]);
  };
}
