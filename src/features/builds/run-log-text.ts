import { SecretFinder } from '../../core/secret-finder.ts';

const [lineFeed, carriageReturn] = [10, 13];
const hidden = Buffer.from('***');

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

/** Half-open. */
type Range = { readonly start: number; readonly end: number };

/** Of all secrets of a run. To learn more of them would keep others waiting, and take memory for each run at work. */
const maxLearnedLetters = 128 * 1024;
/** Of each, where they are more: at least so many. */
const maxHeadLetters = 256;
/** What is shorter is not looked for. */
const minLineLetters = 4;

/** Of the secrets of a run what `hiding` learns: where they are very long together, the beginning of each. */
export function learnable(secrets: readonly string[]): readonly string[] {
  if (lettersOf(secrets) <= maxLearnedLetters) return secrets;
  const most = Math.max(maxHeadLetters, Math.floor(maxLearnedLetters / secrets.length));
  return secrets.flatMap((secret) => (secret.length > most ? beginningOf(secret, most) : [secret]));
}

export function lettersOf(secrets: readonly string[]): number {
  return secrets.reduce((sum, { length }) => sum + length, 0);
}

/**
 * Hides secrets that stand whole in bytes, their lines, and of long ones what begins as they do. Agents hide them too, and
 * those across two pieces: where the secrets of a run are very long together, here only the beginning of each is hidden.
 */
export function hiding(secrets: readonly string[]): Hide {
  const finder = new SecretFinder(learnable(secrets), (secret) => Buffer.from(secret).toString('latin1'));
  return (bytes) => {
    const found = rangesOf(finder, bytes);
    const pieces: Uint8Array[] = [];
    let shown = 0;
    for (const { start, end } of found) {
      pieces.push(bytes.subarray(shown, start), hidden);
      shown = end;
    }
    return found.length === 0 ? bytes : Buffer.concat([...pieces, bytes.subarray(shown)]);
  };
}

/** Its first lines, as a piece of one may be a word of any log; of a first one that is longer than that, its beginning. */
function beginningOf(secret: string, most: number): readonly string[] {
  const kept: string[] = [];
  let left = most;
  for (const line of secret.split('\n').map((each) => each.trim())) {
    if (line.length < minLineLetters) continue;
    if (line.length > left) return kept.length > 0 ? kept : [cut(line, most)];
    kept.push(line);
    left -= line.length;
  }
  return kept;
}

/** A letter of two halves has both or none. */
function cut(text: string, length: number): string {
  const isHalved = /[\uD800-\uDBFF]/.test(text.charAt(length - 1));
  return text.slice(0, isHalved ? length - 1 : length);
}

/** In order; those that overlap are one. */
function rangesOf(finder: SecretFinder, bytes: Uint8Array): readonly Range[] {
  const found: Range[] = [];
  let state = 0;
  for (const [at, byte] of bytes.entries()) {
    state = finder.next(state, byte);
    const length = finder.foundLength(state);
    if (length === 0) continue;
    const end = at + 1;
    let start = end - length;
    for (let last = found.at(-1); last !== undefined && last.end > start; last = found.at(-1)) {
      start = Math.min(start, last.start);
      found.pop();
    }
    found.push({ start, end });
  }
  return found;
}
