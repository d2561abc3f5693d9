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
import { listSources } from '../../features/builds/tasks/task-sources.ts';
import { lookAtRepositories } from '../../features/builds/triggers/git-poll.ts';
import { GitSources } from '../../features/builds/triggers/git-sources.ts';
import { settleHooks } from '../../features/builds/triggers/provider-hooks.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createLog } from '../../platform/log.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';
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
  const send = async (hookId: string, secret: string, body: object, event = 'push') => {
    const text = JSON.stringify(body);
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

  for (const [provider, version, header, made] of [
    ['gitea', '/api/v1/version', 'token t0ken', '/api/v1/repos/team/app/hooks'],
    ['github', '/api/v3/meta', 'Bearer t0ken', '/api/v3/repos/team/app/hooks'],
    ['gitlab', '/api/v4/version', 't0ken', '/api/v4/projects/team%2Fapp/hooks'],
  ] as const)
    test(`with an access token the webhook is made at ${provider}, and removed with the task`, async () => {
      const server = await webhookReceiver(({ path, method, headers }, response) => {
        const json = (status: number, body: unknown) =>
          response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
        if (path === version) return void json(200, { version: '1' });
        if ((headers.authorization ?? headers['private-token']) !== header) return void json(404, {});
        if (path === made && method === 'POST') return void json(201, { id: 42 });
        if (path === `${made}/42` && method === 'DELETE') return void response.writeHead(204).end();
        json(404, {});
      });
      opened.push(server);
      const name = `task-${provider}`;
      const settle = async (uid: string) =>
        await settleHooks({ ...parts, outbound, hookOrigin: 'https://berth.example' }, uid, async () => {});
      const { uid } = await tasks.put(name, waiting(name, `${server.url}/Team/App.git`, { token: 't0ken' }));
      await settle(uid);
      await settle(uid);
      const { hookId, secrets, providerHook } = await sourceOf(uid);
      assert.equal(JSON.parse(providerHook ?? '{}').url, `${server.url}${made}/42`);
      const posts = server.received.filter(({ method }) => method === 'POST');
      assert.equal(posts.length, 1, 'once');
      assert.match(posts[0]?.body ?? '', new RegExp(`https://berth.example/hooks/git/${hookId}`));
      assert(posts[0]?.body.includes(secrets.secret));
      await tasks.remove(name);
      await settle(uid);
      assert.deepEqual(
        server.received.filter(({ method }) => method === 'DELETE').map(({ path }) => path),
        [`${made}/42`],
      );
      assert.deepEqual(await listSources(parts, database.read, uid), []);
    });

  test('with an access token a subscription is made at Azure Repos', async () => {
    const server = await webhookReceiver(({ path, method, headers }, response) => {
      const json = (body: unknown) =>
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      const isRight = headers.authorization === `Basic ${Buffer.from(':t0ken').toString('base64')}`;
      if (!isRight) response.writeHead(401).end();
      else if (path === '/org/my%20project/_apis/git/repositories/app?api-version=7.0')
        json({ id: 'repository-id', project: { id: 'project-id' } });
      else if (path === '/org/_apis/hooks/subscriptions?api-version=7.0' && method === 'POST') json({ id: 'made' });
      else response.writeHead(404).end();
    });
    opened.push(server);
    const hosts = new Map([['dev.azure.com', { host: '127.0.0.1', port: server.port }]]);
    const mapped = createOutbound({ allow: ['127.0.0.0/8'], hosts, clock: systemClock });
    const url = 'http://dev.azure.com/org/my%20project/_git/app';
    const { uid } = await tasks.put('task-azure', waiting('task-azure', url, { token: 't0ken' }));
    await settleHooks({ ...parts, outbound: mapped, hookOrigin: 'https://berth.example' }, uid, async () => {});
    await mapped.close();
    const { providerHook, hookId, secrets } = await sourceOf(uid);
    assert.equal(
      JSON.parse(providerHook ?? '{}').url,
      'http://dev.azure.com/org/_apis/hooks/subscriptions/made?api-version=7.0',
    );
    assert.partialDeepStrictEqual(JSON.parse(server.received.at(-1)?.body ?? ''), {
      eventType: 'git.push',
      publisherInputs: { projectId: 'project-id', repository: 'repository-id' },
      consumerInputs: { url: `https://berth.example/hooks/git/${hookId}`, basicAuthPassword: secrets.secret },
    });
  });

  test('a host that refuses the token is told to whoever looks, and its repository is looked at', async () => {
    const server = await webhookReceiver(({ path }, response) => {
      response.writeHead(path === '/api/v1/version' ? 200 : 403, { 'content-type': 'application/json' }).end('{}');
    });
    opened.push(server);
    const { uid } = await tasks.put(
      'task-denied',
      waiting('task-denied', `${server.url}/team/app.git`, { token: 't0ken' }),
    );
    await assert.rejects(
      settleHooks({ ...parts, outbound, hookOrigin: 'https://berth.example' }, uid, async () => {}),
      /answered 403: check that the access token may administer webhooks/,
    );
    const { providerHook, problem } = await sourceOf(uid);
    assert.equal(providerHook, undefined);
    assert.match(problem ?? '', /403/);
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
