/** When a timer is due: minutes, hours, days and so on that match; day of month and day of week must both. */
export type TimerSchedule = {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  /** From 1. */
  readonly months: ReadonlySet<number>;
  /** Sunday is 0. */
  readonly weekdays: ReadonlySet<number>;
};

/** What is wrong with a schedule, in words for whoever wrote it. */
export class ScheduleError extends Error {}

type Field = {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  readonly names?: readonly string[];
};

const monthNames = [
  'january',
  'february',
  'march',
  'april',
  'may',
  'june',
  'july',
  'august',
  'september',
  'october',
  'november',
  'december',
];
const dayNames = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
const fields = {
  minute: { name: 'minute', least: 0, most: 59 },
  hour: { name: 'hour', least: 0, most: 23 },
  day: { name: 'day of month', least: 1, most: 31 },
  month: { name: 'month', least: 1, most: 12, names: monthNames },
  weekday: { name: 'day of week', least: 0, most: 6, names: dayNames },
} as const satisfies Record<string, Field>;

/** The days of the calendar repeat after so many years. */
const longestWaitYears = 400;
const minuteMs = 60_000;
const dayMs = 24 * 3_600_000;

/** The grammar of NCrontab with five fields, in UTC. Throws ScheduleError. Source: ACR tasks, 4.4. */
export function parseTimerSchedule(text: string): TimerSchedule {
  const parts = text.trim().split(/\s+/);
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = parts;
  if (parts.length !== 5)
    throw new ScheduleError(
      `'${text.slice(0, 100)}' has ${text.trim() === '' ? 0 : parts.length} fields; five are needed: minute, hour, day of month, month, day of week`,
    );
  return {
    minutes: parseField(fields.minute, minute),
    hours: parseField(fields.hour, hour),
    days: parseField(fields.day, day),
    months: parseField(fields.month, month),
    weekdays: parseField(fields.weekday, weekday),
  };
}

/** The first moment after `afterMicros` (microseconds, UTC); undefined for a schedule that never comes, such as 31 April. */
export function nextOccurrence(schedule: TimerSchedule, afterMicros: number): number | undefined {
  const startMs = (Math.floor(afterMicros / 1_000 / minuteMs) + 1) * minuteMs;
  const startDayMs = Math.floor(startMs / dayMs) * dayMs;
  if (!canCome(schedule)) return undefined;
  for (let dayAtMs = startDayMs, days = 0; days < longestWaitYears * 366; dayAtMs += dayMs, days += 1) {
    if (!isOnDay(schedule, new Date(dayAtMs))) continue;
    const ms = firstOnDay(schedule, dayAtMs, startMs);
    if (ms !== undefined) return ms * 1_000;
  }
  return undefined;
}

/** Some month has one of the days. */
function canCome({ days, months }: TimerSchedule): boolean {
  return [...months].some((month) => [...days].some((day) => day <= new Date(Date.UTC(2000, month, 0)).getUTCDate()));
}

function isOnDay({ days, months, weekdays }: TimerSchedule, date: Date): boolean {
  return days.has(date.getUTCDate()) && months.has(date.getUTCMonth() + 1) && weekdays.has(date.getUTCDay());
}

function firstOnDay({ hours, minutes }: TimerSchedule, dayAtMs: number, startMs: number): number | undefined {
  for (let hour = 0; hour < 24; hour += 1) {
    if (!hours.has(hour)) continue;
    for (let minute = 0; minute < 60; minute += 1) {
      const ms = dayAtMs + (hour * 60 + minute) * minuteMs;
      if (ms >= startMs && minutes.has(minute)) return ms;
    }
  }
  return undefined;
}

function parseField(field: Field, text: string): ReadonlySet<number> {
  return new Set(text.split(',').flatMap((part) => parsePart(field, part)));
}

/** `*`, `7`, `a-b`, each with `/n` behind it; `a/n` goes to the end, a reversed range is swapped. */
function parsePart(field: Field, text: string): number[] {
  const [range = '', stepText, ...more] = text.split('/');
  if (more.length > 0 || text === '') throw wrong(field, text);
  const step = stepText === undefined ? 1 : parseNumber(field, stepText, text);
  if (step < 1) throw wrong(field, text);
  const [from, to] = parseRange(field, range, stepText !== undefined);
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
}

function parseRange(field: Field, text: string, hasStep: boolean): [from: number, to: number] {
  if (text === '*') return [field.least, field.most];
  const [first = '', second, ...more] = text.split('-');
  if (more.length > 0) throw wrong(field, text);
  const from = parseValue(field, first, text);
  if (second === undefined) return [from, hasStep ? field.most : from];
  const to = parseValue(field, second, text);
  return from <= to ? [from, to] : [to, from];
}

function parseValue(field: Field, text: string, whole: string): number {
  const index = field.names?.findIndex((name) => text !== '' && name.startsWith(text.toLowerCase())) ?? -1;
  const value = index >= 0 ? index + field.least : parseNumber(field, text, whole);
  if (value < field.least || value > field.most)
    throw new ScheduleError(`${value} is no ${field.name}: ${field.least} to ${field.most} are`);
  return value;
}

function parseNumber(field: Field, text: string, whole: string): number {
  if (!/^\d{1,4}$/.test(text)) throw wrong(field, whole);
  return Number(text);
}

function wrong(field: Field, text: string): ScheduleError {
  return new ScheduleError(
    `'${text.slice(0, 50)}' is no ${field.name}: use *, a number from ${field.least} to ${field.most}${field.names ? ' or an English name' : ''}, a-b, a,b or */n`,
  );
}
