import type { Arguments, TemplateFunctions } from './arguments.ts';

/** Functions over times, by lower-cased name. Source: Azure Resource Manager, "Date functions for ARM templates". */
export const timeFunctions: TemplateFunctions = {
  datetimeadd: (args) => dateTimeAdd(args.count(2, 3)),
  datetimetoepoch: (args) => Math.floor(timeOf(args.count(1)).getTime() / 1_000),
  datetimefromepoch: (args) => isoSeconds(new Date(args.count(1).int(0) * 1_000)),
};

/** Writes a time in a form such as `yyyyMMddTHHmmssZ`; that one without a form. */
export function formatTime(args: Arguments, time: Date, form: string): string {
  if (form.length > 100) throw args.fail('the form of the time is too long');
  if (form === 'u') return isoSeconds(time).replace('T', ' ');
  const iso = time.toISOString();
  const values: Readonly<Record<string, string>> = {
    yyyy: iso.slice(0, 4),
    yy: iso.slice(2, 4),
    MM: iso.slice(5, 7),
    dd: iso.slice(8, 10),
    HH: iso.slice(11, 13),
    mm: iso.slice(14, 16),
    ss: iso.slice(17, 19),
    fff: iso.slice(20, 23),
    M: String(time.getUTCMonth() + 1),
    d: String(time.getUTCDate()),
    H: String(time.getUTCHours()),
  };
  return form.replace(/'([^']*)'|yyyy|yy|MM|dd|HH|mm|ss|fff|[MdH]/g, (mark, quoted) => quoted ?? values[mark] ?? mark);
}

function dateTimeAdd(args: Arguments): string {
  const duration =
    /^(-?)P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?$/.exec(
      args.text(1),
    );
  if (duration === null) throw args.fail('the duration is not of the form P1Y2M3DT4H5M6S');
  const sign = duration[1] === '-' ? -1 : 1;
  const [years = 0, months = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = duration
    .slice(2)
    .map((part) => sign * Number(part ?? 0));
  const time = timeOf(args);
  time.setUTCMonth(time.getUTCMonth() + years * 12 + months);
  const added = new Date(time.getTime() + (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000);
  if (Number.isNaN(added.getTime())) throw args.fail('the time is out of range');
  return args.all.length > 2 ? formatTime(args, added, args.text(2)) : isoSeconds(added);
}

function timeOf(args: Arguments): Date {
  const compact = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(args.text(0));
  const text =
    compact === null
      ? args.text(0)
      : compact
          .slice(1)
          .join('-')
          .replace(/^(.{10})-(..)-(..)-(..)$/, '$1T$2:$3:$4Z');
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw args.fail('the first argument is not a time');
  return time;
}

function isoSeconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
