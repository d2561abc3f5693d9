import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import { BerthError } from '../../../core/errors.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import type { Journal } from '../../../platform/journal/journal.ts';
import { createLog } from '../../../platform/log.ts';
import type { JsonObject } from '../../../wire/arm/json.ts';
import { Runs } from '../runs.ts';
import { startDueTasks } from './timers.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const hourMs = 3_600_000;

function timers(...schedules: readonly string[]): JsonObject {
  return { trigger: { timerTriggers: schedules.map((schedule, index) => ({ name: `t${index + 1}`, schedule })) } };
}

forEachDatabase((_, open) => {
  let clock: HeldClock;
  let database: Database;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;

  beforeEach(async () => {
    // 1 January 2030, 00:00 UTC.
    clock = new HeldClock();
    database = await open();
    const sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
  });

  const look = async (runs = tasks.runs, journal: Journal = here.journal) =>
    await startDueTasks(
      { ...here.account, ...tasks, runs, database, journal, clock, log },
      new AbortController().signal,
    );
  const occurrences = async () =>
    (await tasks.list()).map(({ taskName, trigger }) =>
      trigger.kind === 'timer'
        ? `${taskName} ${trigger.timerTriggerName} ${trigger.scheduleOccurrence.slice(5, 16)}`
        : trigger.kind,
    );

  test('a timer starts its task when it is due, and not before', async () => {
    await tasks.put('night-task', sampleTask('night', timers('30 1 * * *')));
    clock.advance(1.5 * hourMs - 1_000);
    await look();
    assert.deepEqual(await occurrences(), []);
    clock.advance(1_000);
    await look();
    await look();
    assert.deepEqual(await occurrences(), ['night-task t1 01-01T01:30']);
    const [run] = await tasks.list();
    assert.equal(run?.runType, 'AutoBuild');
  });

  test('several timers of one minute start a run each', async () => {
    await tasks.put('both-task', sampleTask('both', timers('0 1 * * *', '0 */1 * * *')));
    clock.advance(hourMs);
    await look();
    assert.deepEqual((await occurrences()).sort(), ['both-task t1 01-01T01:00', 'both-task t2 01-01T01:00']);
  });

  test('two processes that look at once start one run', async () => {
    await tasks.put('once-task', sampleTask('once', timers('0 1 * * *')));
    clock.advance(hourMs);
    await Promise.all([look(), look(), look()]);
    assert.deepEqual(await occurrences(), ['once-task t1 01-01T01:00']);
  });

  test('occurrences that nobody was there for are made up for by one run, of the last', async () => {
    await tasks.put('hourly-task', sampleTask('hourly', timers('0 * * * *')));
    clock.advance(50.5 * hourMs);
    await look();
    clock.advance(0.5 * hourMs);
    await look();
    assert.deepEqual((await occurrences()).sort(), ['hourly-task t1 01-03T02:00', 'hourly-task t1 01-03T03:00']);
  });

  test('a clock that is set back starts nothing twice', async () => {
    await tasks.put('back-task', sampleTask('back', timers('0 1 * * *')));
    clock.advance(hourMs);
    await look();
    clock.setWall(clock.nowMicros() - 30 * 60_000_000);
    await look();
    clock.advance(0.6 * hourMs);
    await look();
    assert.equal((await occurrences()).length, 1);
  });

  test('what is disabled, changed or removed does not start', async () => {
    await tasks.put('off-task', sampleTask('off', { ...timers('0 1 * * *'), status: 'Disabled' }));
    await tasks.put(
      'quiet-task',
      sampleTask('quiet', { trigger: { timerTriggers: [{ name: 't1', schedule: '0 1 * * *', status: 'Disabled' }] } }),
    );
    await tasks.put('moved-task', sampleTask('moved', timers('0 1 * * *')));
    await tasks.put('moved-task', sampleTask('moved', timers('0 2 * * *')));
    await tasks.put('gone-task', sampleTask('gone', timers('0 1 * * *')));
    await tasks.remove('gone-task');
    clock.advance(hourMs);
    await look();
    assert.deepEqual(await occurrences(), []);
    clock.advance(hourMs);
    await look();
    assert.deepEqual(await occurrences(), ['moved-task t1 01-01T02:00']);
    await tasks.patch('off-task', (stored) => ({ ...stored, status: 'Enabled' }));
    await look();
    assert.equal((await occurrences()).length, 1, 'what was missed while it was disabled is not made up for');
  });

  test('a task that cannot be run keeps no other waiting', async () => {
    await tasks.put('empty-task', { isSystemTask: true, ...timers('0 1 * * *') });
    await tasks.put('whole-task', sampleTask('whole', timers('0 1 * * *')));
    clock.advance(hourMs);
    await look();
    assert.deepEqual(await occurrences(), ['whole-task t1 01-01T01:00']);
  });

  test('an occurrence at which the database is busy is made up for', async () => {
    await tasks.put('late-task', sampleTask('late', timers('0 1 * * *')));
    clock.advance(hourMs);
    const busy: Journal = { ...here.journal, transaction: () => Promise.reject(new BerthError('busy')) };
    await assert.rejects(look(tasks.runs, busy), { error: 'busy' });
    await look();
    assert.deepEqual(await occurrences(), ['late-task t1 01-01T01:00']);
  });

  test('timers start nothing while too many runs of the registry wait', async () => {
    const runs = new Runs({ ...tasks.engine, maxQueued: 1 });
    await tasks.put('hourly-task', sampleTask('hourly', timers('0 * * * *')));
    for (let hour = 1; hour <= 3; hour += 1) {
      clock.advance(hourMs);
      await look(runs);
    }
    assert.deepEqual(await occurrences(), ['hourly-task t1 01-01T01:00']);
    const [waiting = assert.fail()] = await tasks.list();
    await tasks.finish(waiting.runId, {});
    clock.advance(hourMs);
    await look(runs);
    assert.deepEqual((await occurrences()).sort(), ['hourly-task t1 01-01T01:00', 'hourly-task t1 01-01T04:00']);
  });
});
