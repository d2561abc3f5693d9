import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { type DatabasePlace, forEachDatabase } from '../../../test/support/databases.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import type { Database } from '../database/database.ts';
import { createLog } from '../log.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { createJobs } from './create-jobs.ts';
import type { JobKind, JobRun, Jobs } from './jobs.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });

const patienceMs = 120_000;
const made: Jobs[] = [];

function jobsOn(database: Database, concurrency = 4): Jobs {
  const jobs = createJobs({ database, clock: systemClock, ids: systemIds, log, pollMs: 20, concurrency });
  made.push(jobs);
  return jobs;
}

async function stopAll(): Promise<void> {
  await Promise.all(made.splice(0).map((jobs) => jobs.stop()));
}

function kind(run: (job: JobRun) => Promise<void>, more: Partial<JobKind> = {}): JobKind {
  return { kind: 'work', run, leaseMs: 10_000, maxAttempts: 3, ...more };
}

async function add(database: Database, jobs: Jobs, key: string, payload: Record<string, unknown> = {}): Promise<void> {
  await database.transaction((tx) => jobs.add(tx, { kind: 'work', key, payload }));
}

async function states(database: Database) {
  return await database.read
    .selectFrom('jobs')
    .select(['key', 'state', 'attempts', 'last_error'])
    .orderBy('key')
    .execute();
}

forEachDatabase((_name, open, placeOf) => {
  // Also after a failure, so that the process can end.
  afterEach(stopAll);

  test('a job runs with its payload once it is due, and its row goes', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    const runs: unknown[] = [];
    await add(database, jobs, 'now', { a: [1] });
    const later = (await database.nowMicros()) + 60_000_000;
    await database.transaction((tx) => jobs.add(tx, { kind: 'work', key: 'later', payload: {}, runAtMicros: later }));
    jobs.start([kind(async ({ payload, attempt }) => void runs.push({ payload, attempt }))]);
    await waitFor('the row is gone', patienceMs, async () => (await states(database)).length === 1);
    await jobs.stop();
    assert.deepEqual(runs, [{ payload: { a: [1] }, attempt: 1 }]);
    assert.deepEqual(
      (await states(database)).map(({ key, state }) => [key, state]),
      [['later', 'waiting']],
    );
  });

  test('a job of a transaction that failed never runs', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await assert.rejects(
      database.transaction(async (tx) => {
        await jobs.add(tx, { kind: 'work', key: '', payload: {} });
        throw new Error('no');
      }),
    );
    assert.deepEqual(await states(database), []);
  });

  test('a job added twice waits once; one added while it runs, runs after it', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    await add(database, jobs, 'k');
    assert.equal((await states(database)).length, 1);
    let runs = 0;
    let atOnce = 0;
    jobs.start([
      kind(async () => {
        runs += 1;
        atOnce += 1;
        assert.equal(atOnce, 1);
        if (runs === 1) await add(database, jobs, 'k');
        await systemClock.sleep(100);
        atOnce -= 1;
      }),
    ]);
    await waitFor('both runs', patienceMs, async () => runs === 2 && (await states(database)).length === 0);
    await jobs.stop();
  });

  test('a job that is asked for while it waits runs after what it was asked for is there', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    const found: number[] = [];
    const hasRun = Promise.withResolvers<void>();
    const look = async () => {
      found.push((await database.read.selectFrom('tenants').select('uid').execute()).length);
      hasRun.resolve();
    };
    await database.transaction(async (tx) => {
      await tx.insertInto('tenants').values({ uid: 'a', tenant_id: 'a', access_epoch: 1, created_at: 1 }).execute();
      await jobs.add(tx, { kind: 'work', key: 'k', payload: {} });
      jobs.start([kind(look)]);
      await Promise.race([hasRun.promise, systemClock.sleep(1_000)]);
    });
    await waitFor('a run that sees it', patienceMs, () => found.includes(1));
  });

  test('two processes share the jobs and run each once', async () => {
    const database = await open();
    const other = await open({ again: database });
    const [first, second] = [jobsOn(database), jobsOn(other)];
    const keys = Array.from({ length: 30 }, (_, index) => `k${String(index).padStart(2, '0')}`);
    for (const key of keys) await add(database, first, key, { key });
    const runs: unknown[] = [];
    const work = kind(async ({ payload }) => void runs.push(payload.key));
    first.start([work]);
    second.start([work]);
    await waitFor('no job is left', patienceMs, async () => (await states(database)).length === 0);
    await Promise.all([first.stop(), second.stop()]);
    assert.deepEqual(runs.toSorted(), keys);
  });

  test('a job that throws runs again later, and after its last attempt is kept as failed', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    const attempts: number[] = [];
    jobs.start([
      kind(
        async ({ attempt }) => {
          attempts.push(attempt);
          throw new Error(`failure ${attempt}`);
        },
        { maxAttempts: 2 },
      ),
    ]);
    await waitFor('it is kept as failed', patienceMs, async () => (await states(database))[0]?.state === 'failed');
    await jobs.stop();
    assert.deepEqual(attempts, [1, 2]);
    assert.deepEqual(await states(database), [{ key: 'k', state: 'failed', attempts: 2, last_error: 'failure 2' }]);
  });

  test('a repeating job runs again and again, also after it failed, planned by several processes only once', async () => {
    const database = await open();
    const other = await open({ again: database });
    const [first, second] = [jobsOn(database), jobsOn(other)];
    let runs = 0;
    const repeating = kind(
      async () => {
        runs += 1;
        if (runs === 2) throw new Error('once');
      },
      { everyMs: 50, maxAttempts: 1 },
    );
    first.start([repeating]);
    second.start([repeating]);
    await waitFor('five runs', patienceMs, () => runs >= 5);
    assert.equal((await states(database)).length, 1);
    await Promise.all([first.stop(), second.stop()]);
    const stoppedAt = runs;
    await systemClock.sleep(150);
    assert.equal(runs, stoppedAt);
  });

  test('stop aborts what runs and gives it back untouched', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    let hasBegun = false;
    jobs.start([
      kind(async ({ signal }) => {
        hasBegun = true;
        await systemClock.sleep(60_000, signal);
      }),
    ]);
    await waitFor('it has begun', patienceMs, () => hasBegun);
    await jobs.stop();
    assert.deepEqual(await states(database), [{ key: 'k', state: 'waiting', attempts: 0, last_error: null }]);
  });

  test('a lease that runs out aborts its holder, whose renewal and end then count for nothing', async () => {
    const database = await open();
    // One at a time, so that the first cannot take its own job again.
    const [first, second] = [jobsOn(database, 1), jobsOn(await open({ again: database }))];
    await add(database, first, 'k');
    const told: string[] = [];
    first.start([
      kind(
        async ({ signal, renew }) => {
          await renew();
          await systemClock.sleep(60_000, signal).catch(() => told.push('aborted'));
          await waitFor('the other took over', patienceMs, () => told.includes('taken over'));
          await renew().catch(() => told.push('not renewed'));
        },
        { leaseMs: 2_000 },
      ),
    ]);
    await waitFor('it runs', patienceMs, async () => (await states(database))[0]?.state === 'running');
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    second.start([
      kind(async ({ attempt }) => {
        assert.equal(attempt, 2);
        told.push('taken over');
        await finished;
      }),
    ]);
    await waitFor('the first holder knows', patienceMs, () => told.includes('not renewed'));
    await first.stop();
    assert.equal((await states(database))[0]?.state, 'running');
    finish();
    await waitFor('it is done', patienceMs, async () => (await states(database)).length === 0);
    await second.stop();
    assert.deepEqual(told, ['aborted', 'taken over', 'not renewed'], 'the holder stops before the other begins');
  });

  test('a job of a process killed by SIGKILL is run by another one after its lease', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    const child = startChild(placeOf(database), 1_500);
    await waitFor('the child runs it', patienceMs, async () => (await states(database))[0]?.state === 'running');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const attempts: number[] = [];
    jobs.start([kind(async ({ attempt }) => void attempts.push(attempt))]);
    await waitFor('it is done', patienceMs, async () => (await states(database)).length === 0);
    await jobs.stop();
    assert.deepEqual(attempts, [2]);
  });

  test('a run that says nothing keeps its job for as long as it may be silent, by grants of at most 25 seconds', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    const finish = Promise.withResolvers<void>();
    jobs.start([kind(() => finish.promise, { leaseMs: 600_000 })]);
    const lease = async () => {
      const row = await database.read.selectFrom('jobs').select(['state', 'lease_until']).executeTakeFirst();
      return row?.state === 'running' ? row.lease_until : 0;
    };
    await waitFor('it runs', patienceMs, async () => (await lease()) > 0);
    const first = await lease();
    assert.ok(first - (await database.nowMicros()) <= 25_000_000, 'a dead process holds it no longer');
    await waitFor('it is renewed by itself', patienceMs, async () => (await lease()) > first);
    assert.ok((await lease()) - (await database.nowMicros()) <= 25_000_000);
    finish.resolve();
    await waitFor('it is done', patienceMs, async () => (await states(database)).length === 0);
  });

  test('a job that every process dies of is kept as failed in the end', async () => {
    const database = await open();
    const jobs = jobsOn(database);
    await add(database, jobs, 'k');
    await database.transaction((tx) =>
      tx.updateTable('jobs').set({ state: 'running', attempts: 3, lease_owner: 'dead', lease_until: 1 }).execute(),
    );
    jobs.start([kind(async () => assert.fail('must not run'))]);
    await waitFor('it is failed', patienceMs, async () => (await states(database))[0]?.state === 'failed');
    await jobs.stop();
  });
});

/** A process that takes jobs of the kind `work` and never finishes one. */
function startChild(place: DatabasePlace, leaseMs: number): ChildProcess {
  const source = `
    import { openAt } from ${JSON.stringify(import.meta.resolve('../../../test/support/databases.ts'))};
    import { createLog } from ${JSON.stringify(import.meta.resolve('../log.ts'))};
    import { systemClock } from ${JSON.stringify(import.meta.resolve('../system-clock.ts'))};
    import { systemIds } from ${JSON.stringify(import.meta.resolve('../system-ids.ts'))};
    import { createJobs } from ${JSON.stringify(import.meta.resolve('./create-jobs.ts'))};
    const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
    const database = await openAt(${JSON.stringify(place)});
    createJobs({ database, clock: systemClock, ids: systemIds, log }).start([
      { kind: 'work', leaseMs: ${leaseMs}, maxAttempts: 3, run: () => new Promise(() => {}) },
    ]);`;
  return spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: ['ignore', 'ignore', 'inherit'] });
}
