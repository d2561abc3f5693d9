const headLength = 6;

/** The first bytes of a stream, and all of it. */
export async function headOf(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly head: Uint8Array; readonly whole: AsyncIterable<Uint8Array> }> {
  const reader = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.byteLength < headLength) {
    const { value, done } = await reader.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  return { head, whole: rejoined(head, reader) };
}

export function begins(head: Uint8Array, ...bytes: readonly number[]): boolean {
  return bytes.every((byte, at) => head[at] === byte);
}

async function* rejoined(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
