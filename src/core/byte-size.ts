const unitBytes = new Map([
  ['B', 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

/** Reads `200GiB`, `64KiB`, `4096B`; returns bytes. Throws RangeError for anything else. */
export function parseByteSize(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})(B|KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
  const bytes = unitBytes.get(unit);
  if (count === undefined || bytes === undefined) {
    throw new RangeError('a size is a whole number with B, KiB, MiB, GiB or TiB: 200GiB');
  }
  return Number(count) * bytes;
}

/** The shortest text that reads as so many bytes. */
export function byteSizeText(bytes: number): string {
  const [unit, size] = [...unitBytes].findLast(([, each]) => bytes > 0 && bytes % each === 0) ?? ['B', 1];
  return `${bytes / size}${unit}`;
}
