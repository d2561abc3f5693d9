import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { GitHost, type GitHostKind } from '../../../../test/support/git-host.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import { temporaryFolder } from '../../../../test/support/temporary-folder.ts';
import { type WebhookReceiver, webhookReceiver } from '../../../../test/support/webhook-receiver.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { createLog } from '../../../platform/log.ts';
import { createOutbound } from '../../../platform/outbound/outbound.ts';
import { systemClock } from '../../../platform/system-clock.ts';
import type { JsonObject } from '../../../wire/arm/json.ts';
import { listSources } from '../tasks/task-sources.ts';
import { providerHookSchema } from './provider-api.ts';
import { settleHooks } from './provider-hooks.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const token = 't0ken';
const hookOrigin = 'https://berth.example';
const folder = temporaryFolder('provider-hooks');
after(() => folder.remove());

/** A task of a repository, with an access token for it. */
function withToken(name: string, repositoryUrl: string): JsonObject {
  return sampleTask(name, {
    step: { type: 'Docker', contextPath: repositoryUrl, imageNames: [`${name}:v1`], dockerFilePath: 'Dockerfile' },
    trigger: {
      sourceTriggers: [
        {
          name: 'source',
          sourceTriggerEvents: ['commit'],
          sourceRepository: {
            sourceControlType: 'Github',
            repositoryUrl,
            branch: 'main',
            sourceControlAuthProperties: { tokenType: 'PAT', token },
          },
        },
      ],
    },
  });
}

forEachDatabase((databaseName, open) => {
  const clock = new HeldClock();
  const opened: WebhookReceiver[] = [];
  let database: Database;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;

  before(async () => {
    database = await open();
    const sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
  });
  after(async () => {
    for (const each of opened) await each.close();
  });

  /** Azure Repos is known by its name alone. */
  const settle = async (uid: string, azurePort = 0) => {
    const hosts = new Map([['dev.azure.com', { host: '127.0.0.1', port: azurePort }]]);
    const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts, clock: systemClock });
    try {
      await settleHooks({ ...here.account, database, log, outbound, hookOrigin }, uid, async () => {});
    } finally {
      await outbound.close();
    }
  };
  const sourceOf = async (uid: string) =>
    (await listSources(here.account, database.read, uid))[0] ?? assert.fail('the task has a repository');
  const answering = async (answer: Parameters<typeof webhookReceiver>[0]) => {
    const server = await webhookReceiver(answer);
    opened.push(server);
    return server;
  };

  for (const [kind, count] of [
    ['gitea', 1],
    ['github', 1],
    ['gitlab', 1],
    ['azureRepos', 3],
  ] as const satisfies readonly [GitHostKind, number][])
    test(`with an access token the webhook is made once at ${kind}, and removed with the task`, async () => {
      await using host = await GitHost.start(kind, `${folder.path}/${databaseName}-${kind}`, token);
      const name = `task-${kind.toLowerCase()}`;
      const { uid } = await tasks.put(name, withToken(name, host.cloneUrl));
      await settle(uid, host.port);
      await settle(uid, host.port);
      const { hookId, secrets, providerHook } = await sourceOf(uid);
      const made = [...host.hooks.values()];
      assert.equal(made.length, count);
      for (const { url, secret } of made)
        assert.deepEqual([url, secret], [`${hookOrigin}/hooks/git/${hookId}`, secrets.secret]);
      const events = made.flatMap((hook) => hook.events);
      assert.equal(events.filter((event) => /^(push|git\.push)$/.test(event)).length, 1);
      assert(
        events.some((event) => /pull_?request/.test(event)),
        'pull requests too',
      );
      assert(!providerHook?.includes(token));
      // As after a crash between the provider's answer and what is written down of it.
      await database.transaction((tx) =>
        tx.updateTable('task_sources').set({ provider_hook: null }).where('task_uid', '=', uid).execute(),
      );
      await settle(uid, host.port);
      assert.equal(host.hooks.size, count, 'that of before is found again');
      assert.equal((await sourceOf(uid)).providerHook, providerHook);
      await tasks.remove(name);
      await settle(uid, host.port);
      assert.equal(host.hooks.size, 0);
      assert.deepEqual(await listSources(here.account, database.read, uid), []);
    });

  test('a host that refuses the token is told to whoever looks', async () => {
    const server = await answering(({ path }, response) => {
      response.writeHead(path === '/api/v1/version' ? 200 : 403, { 'content-type': 'application/json' }).end('{}');
    });
    const { uid } = await tasks.put('task-denied', withToken('task-denied', `${server.url}/team/app.git`));
    await assert.rejects(settle(uid), /answered 403: check that the access token may administer webhooks/);
    const { providerHook, problem } = await sourceOf(uid);
    assert.equal(providerHook, undefined);
    assert.match(problem ?? '', /403/);
  });

  for (const [what, answer, problem] of [
    [
      'that answers without end',
      (response) => {
        const more = () => {
          while (response.writable && response.write(Buffer.alloc(65_536, ' ')));
          response.once('drain', more);
        };
        more();
      },
      /large|more than/i,
    ],
    [
      'that sends the token elsewhere',
      (response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
      /answered 302/,
    ],
    ['that answers no JSON', (response) => response.end('<html>'), /no JSON/],
    ['that hangs up', (response) => response.destroy(), /./],
  ] as const satisfies readonly [
    string,
    (response: Parameters<NonNullable<Parameters<typeof webhookReceiver>[0]>>[1]) => void,
    RegExp,
  ][])
    test(`a host ${what} is a problem of its task alone`, async () => {
      const server = await answering(({ path }, response) => {
        if (path !== '/api/v1/version') return void answer(response);
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
      const name = `task-${what.replaceAll(' ', '-')}`;
      const { uid } = await tasks.put(name, withToken(name, `${server.url}/team/app.git`));
      await assert.rejects(settle(uid), problem);
      assert.match((await sourceOf(uid)).problem ?? '', problem);
    });

  test('what a host calls its webhook leads to no other address', async () => {
    const server = await answering(({ path, method }, response) => {
      const json = { 'content-type': 'application/json' };
      if (method === 'DELETE') return void response.writeHead(204).end();
      const id = method === 'POST' ? '../../../user?x' : undefined;
      response.writeHead(200, json).end(JSON.stringify(path.includes('hooks?') ? [] : { id }));
    });
    const { uid } = await tasks.put('task-odd-id', withToken('task-odd-id', `${server.url}/team/app.git`));
    await settle(uid);
    const { providerHook = '' } = await sourceOf(uid);
    assert(providerHookSchema.parse(JSON.parse(providerHook)).url.endsWith('/hooks/..%2F..%2F..%2Fuser%3Fx'));
  });

  test('an address that no repository has is told to whoever looks', async () => {
    const { uid } = await tasks.put('task-no-path', withToken('task-no-path', 'http://127.0.0.1:1/%/app.git'));
    await assert.rejects(settle(uid), /http or https address/);
    assert.match((await sourceOf(uid)).problem ?? '', /address/);
  });
});
