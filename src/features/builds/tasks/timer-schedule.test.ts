import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextOccurrence, parseTimerSchedule, ScheduleError } from './timer-schedule.ts';

/** The next moments after 1 January 2030, 00:00 UTC, a Tuesday, or after another one. */
function next(text: string, count = 1, after = '2030-01-01T00:00:00Z'): string[] {
  const schedule = parseTimerSchedule(text);
  let micros = Date.parse(after) * 1_000;
  return Array.from({ length: count }, () => {
    micros = nextOccurrence(schedule, micros) ?? assert.fail(`${text} never comes`);
    return new Date(micros / 1_000).toISOString().slice(0, 16);
  });
}

const good: readonly [text: string, first: string, second: string][] = [
  ['* * * * *', '2030-01-01T00:01', '2030-01-01T00:02'],
  ['0 21 * * *', '2030-01-01T21:00', '2030-01-02T21:00'],
  ['  30   9   *   *   1-5 ', '2030-01-01T09:30', '2030-01-02T09:30'],
  ['*/20 * * * *', '2030-01-01T00:20', '2030-01-01T00:40'],
  ['50/5 * * * *', '2030-01-01T00:50', '2030-01-01T00:55'],
  ['0 5-1 * * *', '2030-01-01T01:00', '2030-01-01T02:00'],
  ['0 0-6/3 * * *', '2030-01-01T03:00', '2030-01-01T06:00'],
  ['0 0 1 jan *', '2031-01-01T00:00', '2032-01-01T00:00'],
  ['0 0 * * SUNDAY', '2030-01-06T00:00', '2030-01-13T00:00'],
  ['0 0 * * su,mo', '2030-01-06T00:00', '2030-01-07T00:00'],
  // Both must match: Friday the 13th.
  ['0 0 13 * fri', '2030-09-13T00:00', '2030-12-13T00:00'],
  ['0 0 31 * *', '2030-01-31T00:00', '2030-03-31T00:00'],
  ['0 0 29 2 *', '2032-02-29T00:00', '2036-02-29T00:00'],
];

for (const [text, ...expected] of good)
  test(`'${text}' comes when NCrontab says`, () => assert.deepEqual(next(text, 2), expected));

test('the next occurrence is strictly after the moment, to the minute', () => {
  assert.deepEqual(next('0 * * * *', 1, '2030-01-01T11:59:59Z'), ['2030-01-01T12:00']);
  assert.deepEqual(next('0 * * * *', 1, '2030-01-01T12:00:00Z'), ['2030-01-01T13:00']);
  assert.deepEqual(next('0 * * * *', 1, '2030-01-01T12:00:30Z'), ['2030-01-01T13:00']);
});

test('a day that no month has never comes', () => {
  assert.equal(nextOccurrence(parseTimerSchedule('0 0 31 4 *'), 0), undefined);
  assert.equal(nextOccurrence(parseTimerSchedule('0 0 30 2 *'), 0), undefined);
});

const bad: readonly [text: string, why: string][] = [
  ['', 'nothing'],
  ['0 21 * *', 'four fields'],
  ['0 0 21 * * *', 'six fields: no seconds'],
  ['@daily', 'no nicknames'],
  ['0 0 * * 7', 'Sunday is 0'],
  ['60 * * * *', 'too large'],
  ['* 24 * * *', 'too large'],
  ['0 0 0 * *', 'days begin at 1'],
  ['0 0 * 13 *', 'too large'],
  ['0 0 L * *', 'no last day'],
  ['0 0 ? * *', 'no question mark'],
  ['0 0 1W * *', 'no nearest weekday'],
  ['0 0 * * 5#2', 'no second Friday'],
  ['*/0 * * * *', 'a step of nothing'],
  ['1-2-3 * * * *', 'two ranges'],
  ['1/2/3 * * * *', 'two steps'],
  ['1,,2 * * * *', 'an empty part'],
  ['-5 * * * *', 'half a range'],
  ['0 0 * foo *', 'no month'],
  ['1e1 * * * *', 'no number'],
];

for (const [text, why] of bad)
  test(`'${text}' is refused: ${why}`, () => {
    assert.throws(() => parseTimerSchedule(text), ScheduleError);
  });
