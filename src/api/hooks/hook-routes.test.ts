import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { sampleTask, sampleTasks } from '../../../test/support/sample-tasks.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { type WebhookReceiver, webhookReceiver } from '../../../test/support/webhook-receiver.ts';
import { BerthError } from '../../core/errors.ts';
import { openOrder } from '../../features/builds/run-order-secrets.ts';
import { Runs } from '../../features/builds/runs.ts';
import { listSources } from '../../features/builds/tasks/task-sources.ts';
import { lookAtRepositories } from '../../features/builds/triggers/git-poll.ts';
import { GitSources } from '../../features/builds/triggers/git-sources.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createLog } from '../../platform/log.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';
import { renderFailure } from '../middleware/render-failure.ts';
import { hookRoutes } from './hook-routes.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const [a, b] = ['a'.repeat(40), 'b'.repeat(40)];

/** A task that waits for its repository, by default for commits on any branch that is the default one. */
function waiting(name: string, url: string, more: JsonObject = {}): JsonObject {
  const { token, branch = 'master', events = ['commit'], context = url } = more;
  const sourceControlAuthProperties =
    token === undefined ? {} : { sourceControlAuthProperties: { tokenType: 'PAT', token } };
  return {
    ...sampleTask(name),
    step: { type: 'Docker', contextPath: context, imageNames: [`${name}:v1`], dockerFilePath: 'Dockerfile' },
    trigger: {
      sourceTriggers: [
        {
          name: 'source',
          sourceTriggerEvents: events,
          sourceRepository: { sourceControlType: 'Github', repositoryUrl: url, branch, ...sourceControlAuthProperties },
        },
      ],
    },
  };
}

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  const opened: WebhookReceiver[] = [];
  let database: Database;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  let parts: ConstructorParameters<typeof GitSources>[0];
  let gitSources: GitSources;
  const app = new Hono<Env>();

  before(async () => {
    database = await open();
    const sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
    parts = { ...here.account, ...tasks, database, journal: here.journal, clock, ids, log };
    gitSources = new GitSources(parts);
    app.onError((error, c) =>
      c.text(error.message, error instanceof BerthError && error.error === 'hookUnknown' ? 404 : 400),
    );
    app.route('/', hookRoutes({ gitSources, transfer: { minBytesPerSecond: 1, windowMs: 30_000 } }));
  });
  after(async () => {
    await outbound.close();
    for (const each of opened) await each.close();
  });

  const sourceOf = async (uid: string) => (await listSources(parts, database.read, uid))[0] ?? assert.fail();
  const runsOf = async (name: string) => (await tasks.list()).filter(({ taskName }) => taskName === name);
  const send = async (hookId: string, secret: string, body: object, event = 'push') =>
    await sendText(hookId, secret, JSON.stringify(body), event);
  const sendText = async (hookId: string, secret: string, text: string, event = 'push') => {
    const signature = createHmac('sha256', secret).update(text).digest('hex');
    const headers = { 'x-github-event': event, 'x-hub-signature-256': `sha256=${signature}` };
    return await app.request(`/hooks/git/${hookId}`, { method: 'POST', body: text, headers });
  };
  const pushOf = (path: string, more: object = {}) => ({
    ref: 'refs/heads/main',
    before: '0'.repeat(40),
    after: a,
    repository: { default_branch: 'main', clone_url: `https://outside.example${path}` },
    ...more,
  });

  test('a signed push starts the task once, however often it is delivered', async () => {
    const { uid } = await tasks.put('task-push', waiting('task-push', 'https://git.example/team/app.git'));
    const { hookId, secrets } = await sourceOf(uid);
    const push = pushOf('/team/app.git');
    for (let time = 0; time < 3; time += 1) {
      const answer = await send(hookId, secrets.secret, push);
      assert.equal(answer.status, 202);
    }
    const [run, ...others] = await runsOf('task-push');
    assert.equal(others.length, 0);
    assert(run?.trigger.kind === 'source');
    assert.deepEqual([run.trigger.eventType, run.trigger.commitId, run.trigger.branchName], ['commit', a, 'main']);
    await send(hookId, secrets.secret, { ...push, before: a, after: b });
    assert.equal((await runsOf('task-push')).length, 2);
  });

  test('while too many runs wait, a host is told to send its message again', async () => {
    const { uid } = await tasks.put('task-full', waiting('task-full', 'https://git.example/team/full.git'));
    const { hookId, secrets } = await sourceOf(uid);
    const full = new GitSources({ ...parts, runs: new Runs({ ...tasks.engine, maxQueued: 0 }) });
    const busy = hookRoutes({ gitSources: full, transfer: { minBytesPerSecond: 1, windowMs: 30_000 } });
    busy.onError(renderFailure(log));
    const body = JSON.stringify(pushOf('/team/full.git'));
    const signature = createHmac('sha256', secrets.secret).update(body).digest('hex');
    const headers = { 'x-github-event': 'push', 'x-hub-signature-256': `sha256=${signature}` };
    const answer = await busy.request(`/hooks/git/${hookId}`, { method: 'POST', body, headers });
    assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '60']);
    assert.deepEqual(await runsOf('task-full'), []);
    assert.equal((await send(hookId, secrets.secret, pushOf('/team/full.git'))).status, 202);
    assert.equal((await runsOf('task-full')).length, 1);
  });

  test('other branches, repositories, tags, kinds of events and deletions start nothing', async () => {
    const context = 'https://git.example/team/app.git#release';
    const { uid } = await tasks.put(
      'task-release',
      waiting('task-release', 'https://git.example/team/app.git', { context }),
    );
    const { hookId, secrets } = await sourceOf(uid);
    const release = { ref: 'refs/heads/release' };
    for (const body of [
      pushOf('/team/app.git'),
      pushOf('/team/other.git', release),
      pushOf('/team/app.git', { ...release, after: '0'.repeat(40) }),
      pushOf('/team/app.git', { ref: 'refs/tags/release' }),
    ])
      assert.deepEqual(await (await send(hookId, secrets.secret, body)).json(), { runs: 0 });
    const pull = { action: 'opened', number: 1, pull_request: { head: { sha: a }, base: { ref: 'release' } } };
    await send(hookId, secrets.secret, { ...pushOf('/team/app.git'), ...pull }, 'pull_request');
    assert.equal((await runsOf('task-release')).length, 0);
    await send(hookId, secrets.secret, pushOf('/team/app.git', release));
    assert.equal((await runsOf('task-release')).length, 1);
  });

  test('an unknown address and a wrong signature look the same', async () => {
    const { uid } = await tasks.put('task-secret', waiting('task-secret', 'https://git.example/team/app.git'));
    const { hookId, secrets } = await sourceOf(uid);
    for (const [id, secret] of [
      [hookId, 'wrong'],
      ['0'.repeat(32), secrets.secret],
      ['not-an-id', secrets.secret],
    ] as const)
      assert.equal((await send(id, secret, pushOf('/team/app.git'))).status, 404);
    await tasks.patch('task-secret', (stored) => ({ ...stored, status: 'Disabled' }));
    assert.equal((await send(hookId, secrets.secret, pushOf('/team/app.git'))).status, 404, 'a disabled task');
    assert.equal((await runsOf('task-secret')).length, 0);
  });

  test('a repository that nobody calls for is looked at; its first commit starts nothing, the next one a run', async () => {
    using folder = temporaryFolder('git');
    const git = (...words: readonly string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.example', ...words], {
        cwd: folder.path,
        encoding: 'utf8',
      }).trim();
    git('init', '-q', '-b', 'main');
    const commit = (text: string) => {
      git('commit', '-q', '--allow-empty', '-m', text);
      return git('rev-parse', 'HEAD');
    };
    commit('first');
    const server = await webhookReceiver((request, response) => {
      const isRight = request.headers.authorization === `Basic ${Buffer.from('git:t0ken').toString('base64')}`;
      if (!request.path.startsWith('/team/app.git/info/refs?service=git-upload-pack')) response.writeHead(404).end();
      else if (!isRight) response.writeHead(401).end();
      else {
        const refs = execFileSync('git', ['upload-pack', '--http-backend-info-refs', folder.path]);
        response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
        response.end(Buffer.concat([Buffer.from('001e# service=git-upload-pack\n0000'), refs]));
      }
    });
    opened.push(server);
    const url = `${server.url}/team/app.git`;
    const { uid } = await tasks.put('task-poll', waiting('task-poll', url, { token: 't0ken' }));
    await tasks.put('task-closed', waiting('task-closed', url, { token: 'other' }));
    const look = async () => {
      clock.advance(301_000);
      await lookAtRepositories({ ...parts, outbound, gitSources, gitPollMs: 300_000 });
    };
    await look();
    await look();
    assert.equal((await runsOf('task-poll')).length, 0);
    const second = commit('second');
    await look();
    await look();
    const [run, ...others] = await runsOf('task-poll');
    assert.equal(others.length, 0);
    assert(run?.trigger.kind === 'source');
    assert.deepEqual([run.trigger.commitId, run.trigger.branchName], [second, 'main']);
    assert.equal((await sourceOf(uid)).problem, undefined);
    const closed = await tasks.patch('task-closed', (stored) => stored);
    assert.match((await sourceOf(closed.uid)).problem ?? '', /answered 401/);
  });

  test('a branch that moves on as it did before, after it was set back, starts the task again; told twice it does not', async () => {
    const { uid } = await tasks.put('task-back', waiting('task-back', 'https://git.example/team/app.git'));
    const { hookId, secrets } = await sourceOf(uid);
    const counts: number[] = [];
    for (const [before, after] of [
      ['0'.repeat(40), a],
      [a, b],
      [b, a],
      [a, b],
      [b, a],
      [a, b],
    ]) {
      const push = pushOf('/team/app.git', { before, after });
      await Promise.all([1, 2].map(() => send(hookId, secrets.secret, push)));
      counts.push((await runsOf('task-back')).length);
    }
    assert.deepEqual(counts, [1, 2, 3, 4, 5, 6]);
    // Told of again later, by whoever looks through the deliveries of a host.
    await send(hookId, secrets.secret, pushOf('/team/app.git', { before: '0'.repeat(40), after: a }));
    assert.equal((await runsOf('task-back')).length, 6);
  });

  test('a pull request from a fork is lent nothing of the task; one of the repository itself is', async () => {
    const url = 'https://git.example/team/app.git';
    const task = waiting('task-fork', url, { token: 't0ken', events: ['pullrequest'], context: `${url}#main` });
    const { uid } = await tasks.put('task-fork', {
      ...task,
      step: {
        type: 'Docker',
        contextPath: `${url}#main`,
        imageNames: ['task-fork:v1'],
        dockerFilePath: 'Dockerfile',
        arguments: [
          { name: 'COLOR', value: 'red', isSecret: false },
          { name: 'PASSWORD', value: 'hunter2', isSecret: true },
        ],
      },
      credentials: {
        customRegistries: {
          'other.example': {
            userName: { type: 'Opaque', value: 'bob' },
            password: { type: 'Opaque', value: 'hunter3' },
          },
        },
      },
    });
    const { hookId, secrets } = await sourceOf(uid);
    const orders: unknown[] = [];
    for (const [number, repo] of [
      [1, { id: 7 }],
      [2, { id: 8 }],
      [3, null],
      [4, undefined],
    ] as const) {
      const pull_request = { head: { sha: a, repo }, base: { ref: 'main', repo: { id: 7 } } };
      const body = { ...pushOf('/team/app.git'), action: 'opened', number, pull_request };
      assert.deepEqual(await (await send(hookId, secrets.secret, body, 'pull_request')).json(), { runs: 1 });
      const [run = assert.fail()] = await runsOf('task-fork');
      assert(run.trigger.kind === 'source' && run.trigger.pullRequestId === String(number));
      const row = await database.read
        .selectFrom('runs')
        .select(['uid', 'sealed_order'])
        .where('run_id', '=', run.runId)
        .executeTakeFirstOrThrow();
      orders.push(openOrder(here.account.sealer, row.uid, row.sealed_order ?? assert.fail()));
    }
    const [own, ...strangers] = orders;
    assert.match(JSON.stringify(own), /hunter2.*t0ken.*principal.*hunter3/);
    for (const order of strangers) {
      assert.doesNotMatch(JSON.stringify(order), /hunter|t0ken/);
      assert.partialDeepStrictEqual(order, {
        work: { isPushEnabled: false, arguments: [{ name: 'COLOR', value: 'red', isSecret: false }] },
        source: { kind: 'remote', commit: a },
        authority: { kind: 'none' },
        customRegistries: [],
      });
    }
  });

  test('signed messages of any form start nothing, and harm nothing', async () => {
    const { uid } = await tasks.put('task-odd', waiting('task-odd', 'https://git.example/team/app.git'));
    const { hookId, secrets } = await sourceOf(uid);
    const nested = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    for (const [what, body] of [
      ['an address that is none', pushOf('/%')],
      ['a repository of another owner with the name behind it', pushOf('/evil/team/app.git')],
      ['an address with the name as its query', pushOf('/?/team/app.git')],
      ['names that objects have', { ref: 'refs/heads/__proto__', after: a, repository: { default_branch: 'main' } }],
      ['a list', []],
    ] as const)
      assert.deepEqual(await (await send(hookId, secrets.secret, body)).json(), { runs: 0 }, what);
    for (const text of ['', 'null', '"text"', '{', nested, '\0'])
      assert((await sendText(hookId, secrets.secret, text)).status < 500, text.slice(0, 10));
    assert.equal((await runsOf('task-odd')).length, 0);
  });

  test('one push of thousands of branches starts what waits for one of them, and writes nothing for the others', async (t) => {
    const url = 'https://dev.azure.com/org/project/_git/app';
    const { uid } = await tasks.put('task-many', waiting('task-many', url, { context: `${url}#main` }));
    const { hookId, secrets } = await sourceOf(uid);
    const refUpdates = Array.from({ length: 5_000 }, (_each, index) => ({
      name: index === 4_000 ? 'refs/heads/main' : `refs/heads/branch-${index}`,
      oldObjectId: '0'.repeat(40),
      newObjectId: a,
    }));
    const text = JSON.stringify({ eventType: 'git.push', resource: { refUpdates, repository: { remoteUrl: url } } });
    const authorization = `Basic ${Buffer.from(`berth:${secrets.secret}`).toString('base64')}`;
    // Counted, and done.
    const transaction = t.mock.method(here.journal, 'transaction');
    const answer = await app.request(`/hooks/git/${hookId}`, {
      method: 'POST',
      body: text,
      headers: { authorization },
    });
    assert.deepEqual(await answer.json(), { runs: 1 });
    assert.equal(transaction.mock.callCount(), 1);
  });

  test('a message that is too large is refused before it is whole, and a stranger has nothing kept', async () => {
    const { uid } = await tasks.put('task-large', waiting('task-large', 'https://git.example/team/app.git'));
    const { hookId, secrets } = await sourceOf(uid);
    let sent = 0;
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull: (controller) => {
          sent += 1;
          controller.enqueue(new Uint8Array(1024 * 1024));
        },
      });
    const post = async (id: string) => {
      const init: RequestInit & { readonly duplex: 'half' } = { method: 'POST', body: endless(), duplex: 'half' };
      return await app.request(`/hooks/git/${id}`, init);
    };
    assert.equal((await post('0'.repeat(32))).status, 404);
    assert(sent <= 2, `${sent} MiB were read of a stranger's`);
    assert.equal((await post(hookId)).status, 400);
    assert(sent < 40, `${sent} MiB`);
    assert.equal((await send(hookId, secrets.secret, pushOf('/team/app.git'))).status, 202);
  });

  test('a token is not sent to another host than it was given for', async () => {
    const { uid } = await tasks.put(
      'task-moved',
      waiting('task-moved', 'https://git.example/team/app.git', { token: 't0ken' }),
    );
    const moved = waiting('task-moved', 'https://evil.example/team/app.git');
    await tasks.patch('task-moved', (stored) => ({ ...stored, ...moved, sealed: stored.sealed ?? '' }));
    const sources = await listSources(parts, database.read, uid);
    const active = sources.filter(({ isLeaving }) => !isLeaving);
    assert.deepEqual(
      active.map(({ secrets }) => [secrets.repositoryUrl, secrets.token]),
      [['https://evil.example/team/app.git', undefined]],
    );
  });
});
