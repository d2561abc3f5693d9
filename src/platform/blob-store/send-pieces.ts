import type { MemoryBudget, Piece } from './memory-budget.ts';

/** Pieces under way at once: one is sent while the next arrives. */
const width = 2;

export type PieceOptions<T> = {
  /** Comes before the stream's own bytes. */
  readonly first: Uint8Array;
  /** Bytes of the `index`-th piece; the last may be shorter, and is left out when empty. */
  readonly lengthOf: (index: number) => number;
  readonly budget: MemoryBudget;
  readonly send: (piece: Uint8Array, index: number) => Promise<T>;
};

/**
 * Cuts a stream into pieces, each in memory as a whole, so that one can be sent again. At most two are under way, and all streams
 * together stay within the budget: the producer waits. Resolves to the answers in order; throws the first fault once nothing is
 * under way any more.
 */
export async function sendPieces<T>(bytes: AsyncIterable<Uint8Array>, options: PieceOptions<T>): Promise<T[]> {
  const { lengthOf, budget, send } = options;
  const answers: Promise<T>[] = [];
  let piece: Piece | undefined;
  let used = 0;
  const flush = async (full: Piece) => {
    const sending = sent(full, send(full.memory.subarray(0, used), answers.length));
    piece = undefined;
    used = 0;
    answers.push(sending);
    if (answers.length >= width) await answers[answers.length - width];
  };
  try {
    for await (const chunk of startingWith(options.first, bytes)) {
      for (let at = 0; at < chunk.length; ) {
        piece ??= await budget.take(lengthOf(answers.length));
        const taken = chunk.subarray(at, at + piece.memory.length - used);
        piece.memory.set(taken, used);
        at += taken.length;
        used += taken.length;
        if (used === piece.memory.length) await flush(piece);
      }
    }
    if (piece !== undefined) await flush(piece);
    return await Promise.all(answers);
  } finally {
    piece?.release(true);
    await Promise.allSettled(answers);
  }
}

/** A request that failed may still be reading. */
async function outcomeOf<T>(piece: Piece, answer: Promise<T>): Promise<T> {
  try {
    const value = await answer;
    piece.release(true);
    return value;
  } finally {
    piece.release(false);
  }
}

function sent<T>(piece: Piece, answer: Promise<T>): Promise<T> {
  const outcome = outcomeOf(piece, answer);
  // Awaited by whoever sends; without this a fault while the producer pauses would count as unhandled.
  outcome.catch(() => {});
  return outcome;
}

async function* startingWith(first: Uint8Array, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  yield* bytes;
}
