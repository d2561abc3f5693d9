/** Databases limit the parameters of one statement (SQLite 32,766, PostgreSQL 65,535); a list longer than this goes in slices. */
export const maxListParameters = 1_000;

/** Splits a list so that each slice fits `where … in (…)` of one statement. */
export function inSlices<T>(list: readonly T[], size = maxListParameters): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
    list.slice(index * size, (index + 1) * size),
  );
}
