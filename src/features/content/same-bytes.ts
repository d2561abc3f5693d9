import { ByteCursor } from './byte-cursor.ts';

/** Whether two streams hold the same bytes; stops at the first difference. */
export async function sameBytes(left: AsyncIterable<Uint8Array>, right: AsyncIterable<Uint8Array>): Promise<boolean> {
  const a = new ByteCursor(left);
  const b = new ByteCursor(right);
  try {
    return await areSame(a, b, () => {});
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

/**
 * Advances two streams side by side while they hold the same bytes, handing those to `onSame`. False at the first
 * difference, with both cursors before it.
 */
export async function areSame(a: ByteCursor, b: ByteCursor, onSame: (bytes: Uint8Array) => void): Promise<boolean> {
  while (true) {
    const [one, other] = await Promise.all([a.rest(), b.rest()]);
    if (one.length === 0 || other.length === 0) return one.length === other.length;
    const length = Math.min(one.length, other.length);
    const same = one.subarray(0, length);
    if (Buffer.compare(same, other.subarray(0, length)) !== 0) return false;
    onSame(same);
    a.advance(length);
    b.advance(length);
  }
}
