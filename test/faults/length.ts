/** Set by `script/test --long`: full counts instead of the short ones. */
export const isLong = process.env.BERTH_TEST_LONG === '1';

/** How often something is done: `short` in every run, `long` in a long one. */
export function count(short: number, long: number): number {
  return isLong ? long : short;
}
