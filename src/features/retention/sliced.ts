import { setImmediate as breathe } from 'node:timers/promises';

/** A computation over many items that stops between slices, so that a server goes on meanwhile. */
export type Sliced<T> = Generator<void, T>;

/** Few enough for a few milliseconds, where little is done with each. */
const slice = 250;
/** Whatever else waits gets its turn after so long. */
const turnMs = 5;

export function* forEach<T>(items: Iterable<T>, work: (item: T) => void): Sliced<void> {
  let count = 0;
  let sinceMs = performance.now();
  for (const item of items) {
    work(item);
    count += 1;
    if (count % slice !== 0 && performance.now() <= sinceMs + turnMs) continue;
    yield;
    sinceMs = performance.now();
  }
}

/** As `flatMap`; undefined leaves an item out. */
export function* mapped<T, R>(items: Iterable<T>, map: (item: T) => R | undefined): Sliced<R[]> {
  const results: R[] = [];
  yield* forEach(items, (item) => {
    const result = map(item);
    if (result !== undefined) results.push(result);
  });
  return results;
}

export function* sorted<T>(items: readonly T[], compare: (a: T, b: T) => number): Sliced<T[]> {
  let runs: T[][] = [];
  for (let start = 0; start < items.length; start += slice) {
    runs.push(items.slice(start, start + slice).sort(compare));
    yield;
  }
  while (runs.length > 1) {
    const longer: T[][] = [];
    for (let index = 0; index < runs.length; index += 2)
      longer.push(yield* merged(runs[index] ?? [], runs[index + 1] ?? [], compare));
    runs = longer;
  }
  return runs[0] ?? [];
}

function* merged<T>(a: readonly T[], b: readonly T[], compare: (a: T, b: T) => number): Sliced<T[]> {
  const result: T[] = [];
  let next = 0;
  yield* forEach(a, (left) => {
    for (let right = b[next]; right !== undefined && compare(right, left) < 0; right = b[next]) {
      result.push(right);
      next += 1;
    }
    result.push(left);
  });
  yield* forEach(b.slice(next), (right) => result.push(right));
  return result;
}

/** As `filter`; lets others go on between items. */
export async function* filtered<T>(items: Iterable<T>, takes: (item: T) => boolean): AsyncGenerator<T> {
  let sinceMs = performance.now();
  for (const item of items) {
    if (performance.now() > sinceMs + turnMs) {
      await breathe();
      sinceMs = performance.now();
    }
    if (takes(item)) yield item;
  }
}

/** Does it all in one go. */
export function atOnce<T>(sliced: Sliced<T>): T {
  let step = sliced.next();
  while (step.done !== true) step = sliced.next();
  return step.value;
}

/** Lets others go on between slices. */
export async function breathing<T>(sliced: Sliced<T>): Promise<T> {
  let sinceMs = performance.now();
  let step = sliced.next();
  while (step.done !== true) {
    if (performance.now() > sinceMs + turnMs) {
      await breathe();
      sinceMs = performance.now();
    }
    step = sliced.next();
  }
  return step.value;
}
