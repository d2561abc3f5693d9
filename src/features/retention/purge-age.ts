import { BerthError } from '../../core/errors.ts';

const longestDays = 54_750;
const unitMs: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

/**
 * Reads `--ago`: days, then a duration as Go writes it (`30d`, `2d3h6m`, `36h`, `1.5h`). Answers milliseconds, at most 150
 * years. Stricter than the original, where `day` means now and `abc` never: what is not of this form is refused.
 * Throws `purgeInvalid`. Source: ACR Tasks reference, "--ago".
 */
export function parsePurgeAge(text: string): number {
  const match = /^(?:(\d{1,9})d)?((?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h))*)$/.exec(text);
  if (match === null || text === '')
    throw new BerthError('purgeInvalid', `'${text}' is no age: use days and a duration, such as 30d, 2d3h6m or 36h`);
  const [, days = '0', rest = ''] = match;
  const parts = [...rest.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (unitMs.get(unit) ?? 0), 0);
  return Math.min(Number(days), longestDays) * 86_400_000 + Math.min(ms, longestDays * 86_400_000);
}
