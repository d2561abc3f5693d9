/**
 * Cuts a stream into pieces of the lengths that `lengthOf` names, each in memory as a whole; the last may be shorter, and is left
 * out when empty. `first` comes before the stream's own bytes.
 */
export async function* cutStream(
  bytes: AsyncIterable<Uint8Array>,
  { first, lengthOf }: { readonly first: Uint8Array; readonly lengthOf: (piece: number) => number },
): AsyncGenerator<Uint8Array> {
  let held = [first];
  let heldBytes = first.length;
  let piece = 0;
  for await (const chunk of bytes) {
    held.push(chunk);
    heldBytes += chunk.length;
    while (heldBytes >= lengthOf(piece)) {
      const all = Buffer.concat(held, heldBytes);
      const length = lengthOf(piece);
      yield all.subarray(0, length);
      // A copy: the rest must not keep the memory of a piece that has been sent.
      held = [Uint8Array.from(all.subarray(length))];
      heldBytes -= length;
      piece += 1;
    }
  }
  if (heldBytes > 0) yield Buffer.concat(held, heldBytes);
}

/** Pieces under way at once: one is sent while the next arrives. */
const width = 2;

/**
 * Hands each piece to `send` with its index, at most two at once, so that a producer waits for the slower side. Resolves to the
 * answers in order; throws the first fault once nothing is under way any more.
 */
export async function sendPieces<T>(
  pieces: AsyncIterable<Uint8Array>,
  send: (piece: Uint8Array, index: number) => Promise<T>,
): Promise<T[]> {
  const answers: Promise<T>[] = [];
  try {
    for await (const piece of pieces) {
      const sending = send(piece, answers.length);
      // Awaited below; without this a fault while the producer pauses would count as unhandled.
      sending.catch(() => {});
      answers.push(sending);
      if (answers.length >= width) await answers[answers.length - width];
    }
    return await Promise.all(answers);
  } finally {
    await Promise.allSettled(answers);
  }
}
