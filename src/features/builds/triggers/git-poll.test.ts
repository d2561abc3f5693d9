import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { createLog } from '../../../platform/log.ts';
import { systemIds as ids } from '../../../platform/system-ids.ts';
import { Runs } from '../runs.ts';
import { listSources } from '../tasks/task-sources.ts';
import type { GitEvent } from './git-events.ts';
import { lookAtRepositories } from './git-poll.ts';
import { GitSources } from './git-sources.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const line = (text: string) => `${(text.length + 4).toString(16).padStart(4, '0')}${text}`;
/** As many as one look takes. */
const page = 32;

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let commit = 'a'.repeat(40);
  /** More than `main`. */
  let others: readonly string[] = [];
  /** So many runs may wait. */
  let room = 1_000;
  let meanwhile = async () => {};
  let database: Database;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  let look: () => Promise<void>;
  let sources: () => GitSources;

  before(async () => {
    database = await open();
    const sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
    const parts = { ...here, ...here.account, ...tasks, database, clock, ids, log };
    /** Git hosts all of whose repositories have one branch. */
    const call = async () => ({
      status: 200,
      url: 'https://git.example/',
      headers: new Map<string, string>(),
      body: (async function* () {
        await meanwhile();
        const lines = ['main', ...others].map((branch) => line(`${commit} refs/heads/${branch}\n`));
        yield Buffer.from(`${line('# service=git-upload-pack\n')}0000${lines.join('')}0000`);
      })(),
      discard: async () => {},
    });
    sources = () => new GitSources({ ...parts, runs: new Runs({ ...tasks.engine, maxQueued: room }) });
    look = async () => {
      const gitSources = sources();
      clock.advance(301_000);
      await lookAtRepositories({ ...parts, outbound: { call }, gitSources, gitPollMs: 300_000 });
      // The rest of a look that was more than one page.
      clock.advance(5_000);
      await lookAtRepositories({ ...parts, outbound: { call }, gitSources, gitPollMs: 300_000 });
    };
  });

  const withSources = (name: string, count: number) =>
    sampleTask(name, {
      trigger: {
        sourceTriggers: Array.from({ length: count }, (_each, index) => ({
          name: `source-${index}`,
          sourceTriggerEvents: ['commit'],
          sourceRepository: { repositoryUrl: `https://git.example/${name}-${index}.git`, branch: 'main' },
        })),
      },
    });
  const countRuns = async (name: string) => (await tasks.list()).filter(({ taskName }) => taskName === name).length;

  test('repositories of tasks that cannot be run, or opened, keep no other from being looked at', async () => {
    const bad = [];
    for (let index = 0; index < page / 8; index += 1)
      bad.push(await tasks.put(`bad-task-${index}`, withSources(`bad-task-${index}`, 8)));
    const [first = assert.fail(), unreadable = assert.fail()] = bad;
    await look();
    clock.advance(1_000);
    await tasks.put('good-task', withSources('good-task', 1));
    await look();
    for (const { uid, properties } of bad) {
      // As a task may have been written once that is refused now.
      const broken = JSON.stringify({ ...properties, logTemplate: 'logs:x' });
      await database.transaction((tx) =>
        tx.updateTable('resources').set({ properties: broken }).where('uid', '=', uid).execute(),
      );
    }
    const sealed_secret = Buffer.from('not sealed');
    await database.transaction((tx) =>
      tx.updateTable('task_sources').set({ sealed_secret }).where('task_uid', '=', unreadable.uid).execute(),
    );
    commit = 'b'.repeat(40);
    await look();
    await look();
    assert.equal(await countRuns('good-task'), 1);
    const [source] = await listSources(here.account, database.read, first.uid);
    assert.match(source?.problem ?? '', /cannot be run: .*log template/);
    const rows = await database.read
      .selectFrom('task_sources')
      .select('problem')
      .where('task_uid', '=', unreadable.uid)
      .execute();
    for (const { problem } of rows) assert.match(problem ?? '', /cannot be opened/);
    // Once it can be run, the next look starts it by the commit that was missed.
    const { properties } = first;
    await database.transaction((tx) =>
      tx
        .updateTable('resources')
        .set({ properties: JSON.stringify(properties) })
        .where('uid', '=', first.uid)
        .execute(),
    );
    await look();
    assert(await countRuns('bad-task-0'));
  });

  test('of a repository with thousands of branches the one that is waited for is written down', async () => {
    others = Array.from({ length: 5_000 }, (_each, index) => `branch-${index}`);
    const { uid } = await tasks.put('wide-task', withSources('wide-task', 1));
    await look();
    assert.equal(await countRuns('wide-task'), 0);
    commit = 'c'.repeat(40);
    await look();
    assert.equal(await countRuns('wide-task'), 1);
    const [source] = await listSources(here.account, database.read, uid);
    assert.deepEqual(source?.heads, { main: commit });
  });

  test('branches are what they are called, also by names that objects have', async () => {
    const named = (branch: string) => {
      const { trigger, ...rest } = withSources(`task-${branch}`, 1);
      const repositoryUrl = `https://git.example/${branch}.git`;
      const source = { name: 'source', sourceTriggerEvents: ['commit'], sourceRepository: { repositoryUrl, branch } };
      const step = { type: 'Docker', contextPath: `${repositoryUrl}#${branch}`, dockerFilePath: 'Dockerfile' };
      return { ...rest, step, trigger: { sourceTriggers: [source] } };
    };
    others = ['valueOf'];
    await tasks.put('task-valueOf', named('valueOf'));
    await tasks.put('task-toString', named('toString'));
    await look();
    await look();
    assert.deepEqual([await countRuns('task-valueOf'), await countRuns('task-toString')], [0, 0]);
    commit = 'd'.repeat(40);
    await look();
    await look();
    assert.deepEqual([await countRuns('task-valueOf'), await countRuns('task-toString')], [1, 0]);
  });

  for (const [name, ref, next] of [
    ['full', 'refs/heads/main', 'e'],
    ['half', 'heads/main', 'f'],
  ] as const)
    test(`a branch may be named as ${ref}`, async () => {
      const repositoryUrl = `https://git.example/${name}.git`;
      const source = { name: 'source', sourceTriggerEvents: ['commit'], sourceRepository: { repositoryUrl } };
      const step = { type: 'Docker', contextPath: `${repositoryUrl}#${ref}:app`, dockerFilePath: 'Dockerfile' };
      await tasks.put(`${name}-task`, sampleTask(name, { step, trigger: { sourceTriggers: [source] } }));
      await look();
      await look();
      commit = next.repeat(40);
      await look();
      await look();
      assert.equal(await countRuns(`${name}-task`), 1);
    });

  test('an access token in the address of a repository is told of no run', async () => {
    const { trigger: _trigger, ...task } = withSources('token-task', 1);
    const repositoryUrl = 'https://bob:s3cret@git.example/token.git';
    const source = {
      name: 'source',
      sourceTriggerEvents: ['commit'],
      sourceRepository: { repositoryUrl, branch: 'main' },
    };
    await tasks.put('token-task', { ...task, trigger: { sourceTriggers: [source] } });
    await look();
    await look();
    commit = '1'.repeat(40);
    await look();
    await look();
    const run = (await tasks.list()).find(({ taskName }) => taskName === 'token-task');
    assert(run?.trigger.kind === 'source');
    assert.equal(run.trigger.repositoryUrl, 'https://git.example/token.git');
  });

  test('a commit that comes while too many runs wait starts its task when there is room', async () => {
    others = [];
    const { uid } = await tasks.put('late-task', withSources('late-task', 1));
    await look();
    await look();
    commit = 'f'.repeat(40);
    room = 1;
    await look();
    await look();
    assert.equal(await countRuns('late-task'), 0);
    const [source] = await listSources(here.account, database.read, uid);
    assert.match(source?.problem ?? '', /too many runs of the registry wait/);
    room = 1_000;
    await look();
    await look();
    assert.equal(await countRuns('late-task'), 1);
  });

  test('a commit that is told while a look finds an older one starts its task once', async () => {
    const { uid } = await tasks.put('met-task', withSources('met-task', 1));
    await look();
    const [source = assert.fail()] = await listSources(here.account, database.read, uid);
    const [older, newer] = ['2'.repeat(40), '3'.repeat(40)];
    commit = older;
    meanwhile = async () => {
      meanwhile = async () => {};
      const told: GitEvent = {
        ...{ eventType: 'commit', branch: 'main', commit: newer, before: older, pullRequestId: undefined },
        ...{ isFromFork: false, defaultBranch: 'main', addresses: [] },
      };
      await sources().happened(source, told);
    };
    await look();
    commit = newer;
    await look();
    assert.equal(await countRuns('met-task'), 1);
  });

  test('what nobody tells again is taken while too many runs wait: pull requests, and a commit that is told twice', async () => {
    const sourceTriggerEvents = ['commit', 'pullrequest'];
    const sourceRepository = { repositoryUrl: 'https://git.example/told.git', branch: 'main' };
    const sourceTriggers = [{ name: 'source', sourceTriggerEvents, sourceRepository }];
    const { uid } = await tasks.put('told-task', sampleTask('told', { trigger: { sourceTriggers } }));
    const [source = assert.fail()] = await listSources(here.account, database.read, uid);
    const push: GitEvent = {
      ...{ eventType: 'commit', branch: 'main', commit: '1'.repeat(40), before: undefined, pullRequestId: undefined },
      ...{ isFromFork: false, defaultBranch: 'main', addresses: [] },
    };
    await sources().happened(source, push);
    room = 0;
    assert(await sources().happened(source, push));
    assert(await sources().happened(source, { ...push, eventType: 'pullrequest', pullRequestId: '7' }));
    await assert.rejects(sources().happened(source, { ...push, commit: '2'.repeat(40) }), { error: 'queueFull' });
    room = 1_000;
    assert.equal(await countRuns('told-task'), 2);
  });
});
