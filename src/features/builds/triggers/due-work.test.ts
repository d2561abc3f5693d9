import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { builtOn, sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import { waitFor } from '../../../../test/support/wait-for.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { createJobs } from '../../../platform/jobs/create-jobs.ts';
import { createLog } from '../../../platform/log.ts';
import { systemClock } from '../../../platform/system-clock.ts';
import { systemIds as ids } from '../../../platform/system-ids.ts';
import { BaseImages } from './base-images.ts';
import { basePollWork } from './base-poll.ts';
import { askFor, watchDueWork } from './due-work.ts';
import { gitPollWork } from './git-poll.ts';
import { timersJob, timersWork } from './timers.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const works = [timersWork, gitPollWork, basePollWork];
const hourMs = 3_600_000;

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
  });
  const jobsOf = () => createJobs({ database, clock: systemClock, ids, log, pollMs: 20 });
  const asked = async () => {
    for (const work of works) await askFor({ database, jobs: jobsOf(), clock, log }, work);
    return (await database.read.selectFrom('jobs').select('kind').orderBy('kind').execute()).map(({ kind }) => kind);
  };
  beforeEach(async () => {
    await database.transaction((tx) => tx.deleteFrom('jobs').execute());
  });

  test('without anything that is due no job is asked for', async () => {
    assert.deepEqual(await asked(), []);
    await tasks.put(
      'later-task',
      sampleTask('later', { trigger: { timerTriggers: [{ name: 't1', schedule: '0 1 * * *' }] } }),
    );
    await tasks.put('own-task', sampleTask('own-task', { trigger: { baseImageTrigger: { name: 'base' } } }));
    const { uid } = await tasks.patch('own-task', (stored) => stored);
    const image = { registry: 'contoso.berth.test:5443', repository: 'a', tag: 'v1' };
    const report = builtOn({ ...image, digest: 'x' }, { ...image, repository: 'b' });
    const { jobs } = tasks.engine;
    await new BaseImages({ ...here, ...tasks, ...here.account, database, clock, ids, log, jobs }).learn(
      sample.registryUid,
      {
        ...{ runId: 'x1', status: 'Succeeded', taskUid: uid, trigger: { kind: 'manual' } },
        ...report,
      },
    );
    assert.deepEqual(await asked(), [], 'images of this installation are not looked at');
  });

  test('what is due is asked for once, and done; what is due again is asked for again', async () => {
    clock.advance(hourMs);
    await tasks.put(
      'git-task',
      sampleTask('git-task', {
        trigger: {
          sourceTriggers: [
            {
              name: 'source',
              sourceTriggerEvents: ['commit'],
              sourceRepository: { repositoryUrl: 'https://git.example/team/app.git', branch: 'main' },
            },
          ],
        },
      }),
    );
    assert.deepEqual(await asked(), ['builds.git', 'builds.timers']);
    assert.deepEqual(await asked(), ['builds.git', 'builds.timers'], 'it waits');
    await database.transaction((tx) => tx.deleteFrom('jobs').execute());
    const jobs = jobsOf();
    const parts = { ...here.account, ...tasks, database, journal: here.journal, clock, log };
    jobs.start([timersJob(parts)]);
    const stop = new AbortController();
    const watching = watchDueWork(
      { database, jobs, clock: { ...systemClock, nowMicros: clock.nowMicros }, log },
      [timersWork],
      stop.signal,
    );
    const runs = async () => (await tasks.list()).filter(({ taskName }) => taskName === 'later-task').length;
    await waitFor('the run', 120_000, async () => (await runs()) === 1);
    clock.advance(24 * hourMs);
    await waitFor('the run of the next day', 120_000, async () => (await runs()) === 2);
    stop.abort();
    await watching;
    await jobs.stop();
    assert.deepEqual(await database.read.selectFrom('jobs').select('kind').execute(), []);
  });
});
