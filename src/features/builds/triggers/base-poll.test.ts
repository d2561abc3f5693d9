import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { builtOn, sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import { type WebhookReceiver, webhookReceiver } from '../../../../test/support/webhook-receiver.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { createLog } from '../../../platform/log.ts';
import { createOutbound } from '../../../platform/outbound/outbound.ts';
import { systemClock } from '../../../platform/system-clock.ts';
import { systemIds as ids } from '../../../platform/system-ids.ts';
import { BaseImages } from './base-images.ts';
import { lookAtBases } from './base-poll.ts';
import { type RemoteLogin, readRemoteDigest } from './remote-digest.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
const digestOf = (digit: number) => `sha256:${String(digit).repeat(64)}`;
const basic = ({ username, password }: RemoteLogin) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
const login = { username: 'bob', password: 's3cret' };
const opened: WebhookReceiver[] = [];

after(async () => {
  await outbound.close();
  for (const each of opened) await each.close();
});

/** A registry that hands out tokens at `realm`, its own address unless given, to `bob` alone where it is private. */
async function registry({ realm, isPrivate = false }: { readonly realm?: string; readonly isPrivate?: boolean } = {}) {
  const state = { digit: 1, meanwhile: async () => {} };
  const server = await webhookReceiver(async ({ path, headers }, response) => {
    if (path.startsWith('/token')) {
      const isRefused = isPrivate && headers.authorization !== basic(login);
      return void response.writeHead(isRefused ? 401 : 200).end(JSON.stringify({ token: 'abc' }));
    }
    if (headers.authorization !== 'Bearer abc') {
      const challenge = `Bearer realm="${realm ?? `http://${headers.host}/token`}",service="here",scope="x"`;
      return void response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
    const { digit } = state;
    await state.meanwhile();
    const isKnown = path === '/v2/team/base/manifests/v1';
    response.writeHead(isKnown ? 200 : 404, isKnown ? { 'docker-content-digest': digestOf(digit) } : {}).end();
  });
  opened.push(server);
  return { server, state, host: `127.0.0.1:${server.port}` };
}

test('the digest of a tag is read with a token that the registry hands to anybody', async () => {
  const { server, host } = await registry();
  assert.equal(await readRemoteDigest(outbound, { host, repository: 'team/base', tag: 'v1' }), digestOf(1));
  assert.equal(await readRemoteDigest(outbound, { host, repository: 'team/base', tag: 'v2' }), undefined);
  assert.match(
    server.received.find(({ path }) => path.startsWith('/token'))?.path ?? '',
    /service=here&scope=repository%3Ateam%2Fbase%3Apull/,
  );
});

test('a private registry is asked with the credential of the task', async () => {
  const { host } = await registry({ isPrivate: true });
  const tag = { host, repository: 'team/base', tag: 'v1' };
  await assert.rejects(
    readRemoteDigest(outbound, tag),
    /tokens of 127.0.0.1:\d+ cannot be had: 127.0.0.1 answered 401/,
  );
  assert.equal(await readRemoteDigest(outbound, tag, login), digestOf(1));
});

test('a credential is not sent to a host of tokens that the registry names', async () => {
  const thief = await registry();
  const { host } = await registry({ realm: `${thief.server.url}/token` });
  await readRemoteDigest(outbound, { host, repository: 'team/base', tag: 'v1' }, login);
  assert.equal(thief.server.received.length, 1);
  assert.equal(thief.server.received[0]?.headers.authorization, undefined);
});

test('a host that is no registry is told as such', async () => {
  const server = await webhookReceiver();
  opened.push(server);
  const tag = { host: `127.0.0.1:${server.port}`, repository: 'team/base', tag: 'v1' };
  await assert.rejects(readRemoteDigest(outbound, tag), /answered 200 without a digest/);
});

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
  });

  /** Tasks whose last run stood on an image of another registry; with a password they have a credential for it. */
  const standing = async (host: string, passwords: Readonly<Record<string, string | undefined>>) => {
    const { jobs } = tasks.engine;
    const parts = { ...here, ...tasks, ...here.account, database, clock, ids, log, outbound, jobs };
    const baseImages = new BaseImages(parts);
    for (const [name, password] of Object.entries(passwords)) {
      const userName = { type: 'Opaque', value: login.username };
      const credential = { userName, password: { type: 'Opaque', value: password ?? '' } };
      const credentials = password === undefined ? {} : { credentials: { customRegistries: { [host]: credential } } };
      const { uid } = await tasks.put(
        name,
        sampleTask(name, { ...credentials, trigger: { baseImageTrigger: { name: 'base' } } }),
      );
      const base = { registry: host, repository: 'team/base', tag: 'v1' };
      const { images, dependencies } = builtOn({ ...base, registry: 'contoso.berth.test:5443', digest: 'x' }, base);
      const trigger = { kind: 'manual' } as const;
      const run = { runId: 'x1', status: 'Succeeded', taskUid: uid, trigger, images, dependencies };
      await baseImages.learn(sample.registryUid, run);
    }
    return async () => await lookAtBases({ ...parts, baseImages, baseImagePollMs: 60_000 });
  };
  const started = async (...names: readonly string[]) =>
    (await tasks.list()).flatMap(({ taskName = '' }) => (names.includes(taskName) ? [taskName] : [])).sort();

  test('an image of another registry is asked for once for all its tasks, and starts them when it has changed', async () => {
    const { host, state, server } = await registry({ isPrivate: true });
    const look = await standing(host, { 'task-one': login.password, 'task-two': login.password });
    await look();
    await look();
    const asked = () => server.received.filter(({ headers }) => headers.authorization === 'Bearer abc').length;
    assert.equal(asked(), 1);
    state.digit = 2;
    clock.advance(91_000);
    await look();
    await look();
    assert.equal(asked(), 2);
    assert.deepEqual(await started('task-one', 'task-two'), ['task-one', 'task-two']);
  });

  test('a task that comes to stand on an image while that is looked at is told what it is with the next look', async () => {
    const { host, state } = await registry();
    const look = await standing(host, { 'task-early': undefined });
    state.meanwhile = async () => {
      state.meanwhile = async () => {};
      await standing(host, { 'task-late': undefined });
    };
    await look();
    await look();
    state.digit = 2;
    clock.advance(91_000);
    await look();
    assert.deepEqual(await started('task-early', 'task-late'), ['task-early', 'task-late']);
  });

  test('a task is told what its own sign-in sees: neither kept from it nor helped to it by that of another', async () => {
    const { host, state } = await registry({ isPrivate: true });
    // Several of each: whichever comes first must not matter.
    const look = await standing(host, {
      ...{ 'wrong-1': 'other', 'none-1': undefined, 'right-1': login.password },
      ...{ 'right-2': login.password, 'none-2': undefined, 'wrong-2': 'other' },
    });
    await look();
    state.digit = 2;
    clock.advance(91_000);
    await look();
    assert.deepEqual(await started('wrong-1', 'none-1', 'right-1', 'right-2', 'none-2', 'wrong-2'), [
      'right-1',
      'right-2',
    ]);
  });

  test('a registry that answers without end keeps no other from being looked at', async () => {
    const endless = await webhookReceiver(({ path, headers }, response) => {
      const challenge = `Bearer realm="http://${headers.host}/token"`;
      if (!path.startsWith('/token')) return void response.writeHead(401, { 'www-authenticate': challenge }).end();
      const more = () => {
        while (response.writable && response.write(Buffer.alloc(65_536, ' ')));
        response.once('drain', more);
      };
      more();
    });
    opened.push(endless);
    const { host, state } = await registry();
    const lookAtEndless = await standing(`127.0.0.1:${endless.port}`, { 'task-endless': undefined });
    const look = await standing(host, { 'task-other': undefined });
    await lookAtEndless();
    state.digit = 2;
    clock.advance(91_000);
    await look();
    assert.deepEqual(await started('task-other'), ['task-other']);
    const asked = endless.received.length;
    await look();
    assert.equal(endless.received.length, asked, 'its next time is later');
  });
});
