/** `last` is exclusive: the last name of the page before, or empty. */
export type Page = { readonly limit: number; readonly last: string };

/** `next` is the `last` of the page after this one; undefined on the final page. */
export type Listed<T> = { readonly entries: readonly T[]; readonly next: string | undefined };

/** Cuts one row too many down to a page. */
export function paged<Row, T>(
  rows: readonly Row[],
  page: Pick<Page, 'limit'>,
  keyOf: (row: Row) => string,
  entryOf: (row: Row) => T,
): Listed<T> {
  const kept = rows.slice(0, page.limit);
  const last = kept.at(-1);
  const next = rows.length > page.limit && last !== undefined ? keyOf(last) : undefined;
  return { entries: kept.map(entryOf), next };
}

/** How many of these sizes, from the first, stay within `limit` in sum. */
export function countWithin(sizes: readonly number[], limit: number): number {
  let sum = 0;
  const beyond = sizes.findIndex((size) => {
    sum += size;
    return sum > limit;
  });
  return beyond === -1 ? sizes.length : beyond;
}
