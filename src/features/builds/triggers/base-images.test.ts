import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { builtOn, sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { type Journal, streamOf } from '../../../platform/journal/journal.ts';
import { createLog } from '../../../platform/log.ts';
import { systemIds as ids } from '../../../platform/system-ids.ts';
import type { JsonObject } from '../../../wire/arm/json.ts';
import type { RunTrigger } from '../run.ts';
import { BaseImages, finishedRunSchema } from './base-images.ts';
import { BuildTriggers } from './build-triggers.ts';
import { Rebuilds } from './rebuilds.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const host = 'contoso.berth.test:5443';
const image = (repository: string, tag = 'v1', registry = host) => ({ registry, repository, tag });
const made = (repository: string, digest = `sha256:${repository}`) => ({ ...image(repository), digest });
const onBase = (more: JsonObject = {}): JsonObject => ({
  trigger: { baseImageTrigger: { name: 'base', baseImageTriggerType: 'Runtime', ...more } },
});

forEachDatabase((name, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  let triggers: BuildTriggers;
  let images: BaseImages;
  /** Of another server, which decides while something happens. */
  let slower: BaseImages;
  let beforeIt = async () => {};
  let meanwhile = async () => {};
  let rebuilds: Rebuilds;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
    const parts = { ...here, ...tasks, ...here.account, database, clock, ids, log, jobs: tasks.engine.jobs };
    images = new BaseImages(parts);
    const transaction: Journal['transaction'] = async (work) => {
      await beforeIt();
      return await here.journal.transaction(async (...given) => {
        const result = await work(...given);
        await meanwhile();
        return result;
      });
    };
    slower = new BaseImages({ ...parts, journal: { ...here.journal, transaction } });
    rebuilds = new Rebuilds(parts);
    triggers = new BuildTriggers(parts, images, rebuilds);
  });
  beforeEach(() => {
    clock.advance(60_000);
    [beforeIt, meanwhile] = [async () => {}, async () => {}];
  });

  let seen = 0;
  /** Everything that happened since, as the journal tells it; `again` tells it twice. */
  const follow = async ({ again = false } = {}) => {
    const stream = streamOf(sample.registryUid, 'here');
    const events = await here.journal.after({ ...(await here.journal.start(stream)), seq: seen }, 500);
    seen = events.at(-1)?.seq ?? seen;
    if (events.length > 0) await triggers.handle(events);
    if (again && events.length > 0) await triggers.handle(events);
  };
  const newest = async (type: string) => {
    const stream = streamOf(sample.registryUid, 'here');
    const events = await here.journal.after({ ...(await here.journal.start(stream)), seq: seen }, 500);
    return events.findLast((event) => event.type === type) ?? assert.fail();
  };
  const runsOf = async (...names: readonly string[]) =>
    (await tasks.list()).filter(({ taskName }) => names.includes(taskName ?? ''));
  /** A task that was run once, on a base that is there. */
  const learnt = async (name: string, base: string, more: JsonObject = onBase()) => {
    await tasks.put(name, sampleTask(name, more));
    const run = await start(name);
    clock.advance(1_000);
    await tasks.finish(run, builtOn(made(name), image(base)));
    await follow();
  };
  /** As a task may have been written once that is refused now. */
  const breakTask = async (name: string) => {
    const { uid, properties } = await tasks.patch(name, (stored) => stored);
    const broken = JSON.stringify({ ...properties, logTemplate: 'logs:x' });
    await database.transaction((tx) =>
      tx.updateTable('resources').set({ properties: broken }).where('uid', '=', uid).execute(),
    );
  };
  const start = async (name: string, trigger: RunTrigger = { kind: 'manual' }) => {
    const resource = await tasks.patch(name, (stored) => stored);
    const { runId } = await tasks.runs.schedule({
      registryUid: sample.registryUid,
      runType: 'AutoBuild',
      work: { kind: 'encodedTask', content: 'steps: []', values: [] },
      source: { kind: 'none' },
      platforms: [{ os: 'linux', architecture: 'amd64' }],
      timeoutSeconds: 3_600,
      cpus: 2,
      authority: { kind: 'none' },
      customRegistries: [],
      isArchiveEnabled: false,
      task: { uid: resource.uid, name },
      trigger,
    });
    return runId;
  };

  test('a base that is pushed with another digest starts the task once, whatever is told twice', async () => {
    await tasks.push('base/a', 'v1', 'sha256:a1');
    clock.advance(1_000);
    await learnt('task-a', 'base/a');
    await tasks.push('base/a', 'v1', 'sha256:a1');
    await follow();
    assert.equal((await runsOf('task-a')).length, 1, 'the same digest starts nothing');
    await tasks.push('base/a', 'v1', 'sha256:a2');
    await tasks.push('base/a', 'v2', 'sha256:a3');
    await follow({ again: true });
    const [run, ...others] = await runsOf('task-a');
    assert.equal(others.length, 1);
    assert.equal(run?.runType, 'AutoBuild');
    assert(run?.trigger.kind === 'image');
    assert.deepEqual(run.trigger.images, [{ ...image('base/a'), digest: 'sha256:a2' }]);
  });

  test('a pull request, whoever wrote it, does not decide what starts the task', async () => {
    await tasks.push('base/pulled', 'v1', 'sha256:p1');
    await tasks.push('base/asked', 'v1', 'sha256:q1');
    clock.advance(1_000);
    await learnt('task-pulled', 'base/pulled');
    const request = await start('task-pulled', {
      ...{ kind: 'source', id: 'one', eventType: 'pullrequest', commitId: 'c'.repeat(40), pullRequestId: '7' },
      ...{ repositoryUrl: 'https://git.example/app', branchName: 'main', providerType: 'Github' },
    });
    clock.advance(1_000);
    await tasks.finish(request, { ...builtOn(made('other'), image('base/asked')), images: [] });
    await follow();
    await tasks.push('base/asked', 'v1', 'sha256:q2');
    await follow();
    assert.equal((await runsOf('task-pulled')).length, 2, 'its base starts nothing');
    await tasks.push('base/pulled', 'v1', 'sha256:p2');
    await follow();
    const runs = await runsOf('task-pulled');
    assert.equal(runs.length, 3, "the task's own base still does");
  });

  test('a burst of pushes makes one run while none of them has begun', async () => {
    await tasks.push('base/b', 'v1', 'sha256:b1');
    clock.advance(1_000);
    await learnt('task-b', 'base/b');
    for (const digest of ['sha256:b2', 'sha256:b3', 'sha256:b4']) {
      await tasks.push('base/b', 'v1', digest);
      await follow();
    }
    assert.equal((await runsOf('task-b')).length, 2);
  });

  test('servers that are told of two bases of a task at once make one run', async () => {
    const bases = [image('base/left'), image('base/right')] as const;
    const names = Array.from({ length: 8 }, (_each, index) => `pair-task-${index}`);
    for (const { repository } of bases) await tasks.push(repository, 'v1', 'sha256:1');
    for (const name of names) {
      await tasks.put(name, sampleTask(name, onBase({ baseImageTriggerType: 'All' })));
      const run = await start(name);
      clock.advance(1_000);
      await tasks.finish(run, builtOn(made(name), bases[0], bases[1]));
    }
    await follow();
    for (const { repository } of bases) await tasks.push(repository, 'v1', 'sha256:2');
    await Promise.all(bases.map(({ repository, tag }) => images.tagsSet(sample.registryUid, [{ repository, tag }])));
    for (const name of names) assert.equal((await runsOf(name)).length, 2, name);
  });

  test('23 tasks on one base are all started by one push', async () => {
    await tasks.push('base/many', 'v1', 'sha256:m1');
    clock.advance(1_000);
    const names = Array.from({ length: 23 }, (_each, index) => `task-many-${index}`);
    for (const name of names) await learnt(name, 'base/many');
    await tasks.push('base/many', 'v1', 'sha256:m2');
    await follow();
    const runs = (await runsOf(...names)).filter(({ trigger }) => trigger.kind === 'image');
    assert.equal(new Set(runs.map(({ taskName }) => taskName)).size, 23);
    assert.equal(runs.length, 23);
  });

  test('a push while the task runs is made up for, and only once', async () => {
    await tasks.push('base/c', 'v1', 'sha256:c1');
    await tasks.put('task-c', sampleTask('task-c', onBase()));
    const run = await start('task-c');
    const startedAtMicros = clock.nowMicros();
    clock.advance(1_000);
    await tasks.push('base/c', 'v1', 'sha256:c2');
    await follow();
    await tasks.finish(run, builtOn(made('task-c'), image('base/c')), startedAtMicros);
    await follow({ again: true });
    assert.equal((await runsOf('task-c')).length, 2);
  });

  // With SQLite nothing is pushed while something is written down.
  if (name === 'postgres')
    test('a push while it is written down what a task stands on starts the task', async () => {
      await tasks.push('base/w', 'v1', 'sha256:w1');
      clock.advance(1_000);
      const { uid } = await tasks.put('task-w', sampleTask('task-w', onBase()));
      const run = await start('task-w');
      clock.advance(1_000);
      await tasks.finish(run, builtOn(made('task-w'), image('base/w')));
      const finished = finishedRunSchema.parse((await newest('run.finished')).data);
      meanwhile = async () => {
        meanwhile = async () => {};
        await tasks.push('base/w', 'v1', 'sha256:w2');
        await images.tagsSet(sample.registryUid, [{ repository: 'base/w', tag: 'v1' }]);
      };
      assert.equal(finished.taskUid, uid);
      await slower.learn(sample.registryUid, finished);
      assert.equal((await runsOf('task-w')).length, 2);
      await follow();
      assert.equal((await runsOf('task-w')).length, 2);
    });

  test('build-time images start a task of the kind All alone', async () => {
    for (const base of ['base/d', 'base/e']) await tasks.push(base, 'v1', `sha256:${base}1`);
    clock.advance(1_000);
    for (const [name, kind] of [
      ['task-runtime', 'Runtime'],
      ['task-all', 'All'],
    ] as const) {
      await tasks.put(name, sampleTask(name, onBase({ baseImageTriggerType: kind })));
      await tasks.finish(await start(name), builtOn(made(name), image('base/d'), image('base/e')));
    }
    await follow();
    await tasks.push('base/e', 'v1', 'sha256:e2');
    await follow();
    assert.equal((await runsOf('task-runtime')).length, 1);
    assert.equal((await runsOf('task-all')).length, 2);
  });

  test('disabled tasks and triggers start nothing', async () => {
    await tasks.push('base/f', 'v1', 'sha256:f1');
    clock.advance(1_000);
    await learnt('task-off', 'base/f');
    await learnt('task-no-trigger', 'base/f', onBase({ status: 'Disabled' }));
    await tasks.patch('task-off', (stored) => ({ ...stored, status: 'Disabled' }));
    await tasks.push('base/f', 'v1', 'sha256:f2');
    await follow();
    assert.equal((await runsOf('task-off', 'task-no-trigger')).length, 2);
  });

  test('a task is not started by an image that it makes, nor by one that is made of it', async () => {
    await tasks.push('own', 'v1', 'sha256:o1');
    clock.advance(1_000);
    await tasks.put('task-own', sampleTask('task-own', onBase()));
    await tasks.finish(await start('task-own'), builtOn(made('own'), image('own')));
    for (const [name, base] of [
      ['ring-one', 'ring-two'],
      ['ring-two', 'ring-one'],
    ] as const) {
      await tasks.push(base, 'v1', `sha256:${base}`);
      clock.advance(1_000);
      await tasks.put(name, sampleTask(name, onBase()));
      await tasks.finish(await start(name), builtOn(made(name), image(base)));
    }
    await follow();
    const count = (await runsOf('task-own', 'ring-one', 'ring-two')).length;
    clock.advance(1_000);
    for (const name of ['own', 'ring-one', 'ring-two']) await tasks.push(name, 'v1', `sha256:${name}-new`);
    await follow();
    assert.equal((await runsOf('task-own', 'ring-one', 'ring-two')).length, count);
  });

  test('the digest of an image elsewhere is first remembered, and starts the task when it is another', async () => {
    const { uid } = await tasks.put('task-hub', sampleTask('task-hub', onBase()));
    const debian = image('debian', 'bookworm', 'registry.hub.docker.com');
    await tasks.finish(await start('task-hub'), builtOn(made('task-hub'), debian));
    await follow();
    const seenAs = { host: 'docker.io', repository: 'library/debian', tag: 'bookworm' };
    for (const digest of ['sha256:x1', 'sha256:x1', 'sha256:x2', 'sha256:x2'])
      await images.seenElsewhere({ ...seenAs, digest }, [uid]);
    const [run, ...others] = await runsOf('task-hub');
    assert.equal(others.length, 1);
    assert(run?.trigger.kind === 'image');
    assert.equal(run.trigger.images[0]?.digest, 'sha256:x2');
  });

  test('an image elsewhere that moves between the looks of two servers starts the task', async () => {
    const { uid } = await tasks.put('task-moved', sampleTask('task-moved', onBase()));
    await tasks.finish(
      await start('task-moved'),
      builtOn(made('task-moved'), image('moved', 'v1', 'elsewhere.example')),
    );
    await follow();
    const seenAs = { host: 'elsewhere.example', repository: 'moved', tag: 'v1' };
    beforeIt = async () => await images.seenElsewhere({ ...seenAs, digest: 'sha256:x1' }, [uid]);
    await slower.seenElsewhere({ ...seenAs, digest: 'sha256:x2' }, [uid]);
    assert.equal((await runsOf('task-moved')).length, 2);
  });

  test('a rebuild runs tasks in the order in which they stand on each other, each once, and stops above a failure', async () => {
    await tasks.push('root', 'v1', 'sha256:r1');
    clock.advance(1_000);
    for (const [name, base] of [
      ['chain-one', 'root'],
      ['chain-two', 'chain-one'],
      ['chain-side', 'chain-one'],
      ['chain-three', 'chain-two'],
    ] as const) {
      await learnt(name, base);
      await tasks.push(name, 'v1', `sha256:${name}1`);
      clock.advance(1_000);
      await follow();
    }
    const names = ['chain-one', 'chain-two', 'chain-side', 'chain-three'] as const;
    const end = async (name: string, status?: 'Failed') => {
      const [run] = await runsOf(name);
      const outcome = builtOn(
        made(name),
        image(name === 'chain-one' ? 'root' : name === 'chain-three' ? 'chain-two' : 'chain-one'),
      );
      await tasks.push(name, 'v1', `sha256:${name}-${clock.nowMicros()}`);
      await tasks.finish(run?.runId ?? '', { ...outcome }, clock.nowMicros(), status);
      await follow({ again: true });
    };
    const counts = async () => await Promise.all(names.map(async (name) => (await runsOf(name)).length));
    for (const { runId } of (await runsOf(...names)).filter(({ status }) => status === 'Queued'))
      await tasks.finish(runId, {}, 0, 'Failed');
    await follow();
    const start = await counts();
    const one = await tasks.patch('chain-one', (stored) => stored);
    const steps = await rebuilds.begin(sample.registryUid, [one.uid]);
    assert.equal(steps.length, 4);
    const since = async () => (await counts()).map((count, index) => count - (start[index] ?? 0));
    assert.deepEqual(await since(), [1, 0, 0, 0]);
    clock.advance(1_000);
    await end('chain-one');
    assert.deepEqual(await since(), [1, 1, 1, 0]);
    clock.advance(1_000);
    await end('chain-two', 'Failed');
    await end('chain-side');
    const states = await database.read.selectFrom('task_rebuild_steps').select('state').orderBy('state').execute();
    assert.deepEqual(
      states.map(({ state }) => state),
      ['failed', 'skipped', 'succeeded', 'succeeded'],
    );
  });

  test('a task that cannot be run is skipped in a rebuild with what stands on it, and all others go on', async () => {
    for (const [name, base] of [
      ['bad-one', 'root-bad'],
      ['bad-two', 'bad-one'],
      ['good-one', 'root-bad'],
      ['good-two', 'good-one'],
      ['bad-three', 'good-one'],
    ] as const)
      await learnt(name, base);
    const uids = await Promise.all(
      ['bad-one', 'good-one'].map(async (name) => (await tasks.patch(name, (stored) => stored)).uid),
    );
    for (const name of ['bad-one', 'bad-three']) await breakTask(name);
    assert.equal((await rebuilds.begin(sample.registryUid, uids)).length, 5);
    const [run] = await runsOf('good-one');
    await tasks.finish(run?.runId ?? '', builtOn(made('good-one'), image('root-bad')));
    await follow();
    const rows = await database.read
      .selectFrom('task_rebuild_steps')
      .innerJoin('resources', 'resources.uid', 'task_rebuild_steps.task_uid')
      .select(['resources.name', 'task_rebuild_steps.state'])
      .where('resources.name', 'in', ['bad-one', 'bad-two', 'bad-three', 'good-one', 'good-two'])
      .orderBy('resources.name')
      .execute();
    assert.deepEqual(
      rows.map(({ name, state }) => `${name} ${state}`),
      ['bad-one skipped', 'bad-three skipped', 'bad-two skipped', 'good-one succeeded', 'good-two started'],
    );
  });

  test('failed runs teach nothing, and a task that is gone is forgotten', async () => {
    await tasks.push('base/g', 'v1', 'sha256:g1');
    clock.advance(1_000);
    await learnt('task-g', 'base/g');
    await tasks.remove('task-g');
    await tasks.push('base/g', 'v1', 'sha256:g2');
    await follow();
    assert.equal((await runsOf('task-g')).length, 1);
    assert.equal(
      (await database.read.selectFrom('task_bases').selectAll().where('repository', '=', 'base/g').execute()).length,
      0,
    );
  });
});
