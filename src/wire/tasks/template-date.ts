const months = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
];
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

const two = (value: number) => String(value).padStart(2, '0');
const hour12 = (date: Date) => date.getUTCHours() % 12 || 12;

/** Longest first: `January` before `Jan`, `01` before `1`. */
const parts: readonly [string, (date: Date) => string][] = [
  ['January', (date) => months[date.getUTCMonth()] ?? ''],
  ['Monday', (date) => days[date.getUTCDay()] ?? ''],
  ['2006', (date) => String(date.getUTCFullYear()).padStart(4, '0')],
  ['-0700', () => '+0000'],
  ['-07:00', () => '+00:00'],
  ['Z07:00', () => 'Z'],
  ['Jan', (date) => (months[date.getUTCMonth()] ?? '').slice(0, 3)],
  ['Mon', (date) => (days[date.getUTCDay()] ?? '').slice(0, 3)],
  ['MST', () => 'UTC'],
  ['.000', (date) => `.${String(date.getUTCMilliseconds()).padStart(3, '0')}`],
  ['01', (date) => two(date.getUTCMonth() + 1)],
  ['02', (date) => two(date.getUTCDate())],
  ['03', (date) => two(hour12(date))],
  ['04', (date) => two(date.getUTCMinutes())],
  ['05', (date) => two(date.getUTCSeconds())],
  ['06', (date) => two(date.getUTCFullYear() % 100)],
  ['15', (date) => two(date.getUTCHours())],
  ['PM', (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM')],
  ['_2', (date) => String(date.getUTCDate()).padStart(2, ' ')],
  ['1', (date) => String(date.getUTCMonth() + 1)],
  ['2', (date) => String(date.getUTCDate())],
  ['3', (date) => String(hour12(date))],
  ['4', (date) => String(date.getUTCMinutes())],
  ['5', (date) => String(date.getUTCSeconds())],
];

/** A moment in UTC in a layout of Go's, which is written as the moment `Mon Jan 2 15:04:05 2006`. Source: Go's time, "Layout". */
export function formatGoDate(layout: string, date: Date): string {
  let formatted = '';
  for (let at = 0; at < layout.length; ) {
    const found = parts.find(([name]) => layout.startsWith(name, at));
    formatted += found === undefined ? layout.charAt(at) : found[1](date);
    at += found?.[0].length ?? 1;
  }
  return formatted;
}
