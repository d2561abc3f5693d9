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

/** Hides texts that stand whole in these bytes. Agents hide them too, and those across two pieces. */
export function withoutSecrets(bytes: Uint8Array, secrets: readonly string[]): Uint8Array {
  const long = secrets.map((text) => Buffer.from(text)).filter((secret) => secret.length >= minMaskedBytes);
  // The longest first: one secret may be a part of another.
  return long.toSorted((a, b) => b.length - a.length).reduce(withoutSecret, bytes);
}

function withoutSecret(bytes: Uint8Array, secret: Buffer): Uint8Array {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const pieces: Uint8Array[] = [];
  let start = 0;
  for (let at = from.indexOf(secret); at >= 0; at = from.indexOf(secret, start)) {
    pieces.push(from.subarray(start, at), hidden);
    start = at + secret.length;
  }
  return start === 0 ? bytes : Buffer.concat([...pieces, from.subarray(start)]);
}
