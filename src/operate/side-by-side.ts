/**
 * Does the same work on every item, `width` at once. A fault ends it: no other item is begun, and the fault is thrown once nothing is
 * under way any more, so that the caller may close what the work uses.
 */
export async function sideBySide<T>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = each(items);
  const lane = async () => {
    // A loop that is left by a fault ends the queue for the others too.
    for await (const item of queue) await work(item);
  };
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane));
  for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function* each<T>(items: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T> {
  yield* items;
}
