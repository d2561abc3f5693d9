import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Hono } from 'hono';
import { z } from 'zod';
import { quietLog as log } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { openSocket } from '../../../test/support/raw-http.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { builtInRoles } from '../../features/access/role-built-ins.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { systemClock as clock } from '../../platform/system-clock.ts';
import { answerWith } from '../middleware/answer.ts';
import type { Env } from '../middleware/env.ts';
import { startHttpServers } from '../middleware/http-servers.ts';
import { renderFailure } from '../middleware/render-failure.ts';
import { liveRoutes } from './live-routes.ts';

const eventSchema = z.object({
  subject: z.string(),
  data: z.object({ request: z.looseObject({}), actor: z.unknown().optional() }),
});
const idleMs = 700;
/** Against hanging. */
const patienceMs = 60_000;

forEachDatabase((_, open) => {
  let sample: SampleRoles;
  let app: Hono<Env>;
  let isStopping = false;

  before(async () => {
    const database = await open();
    sample = await sampleRoles(database);
    const registry = sample.here.directory.byUid(sample.registryUid) ?? assert.fail();
    app = new Hono<Env>();
    app.onError(renderFailure(log));
    app.use(async (c, next) => {
      c.set('call', { ...sampleCircumstances, origin: 'https://contoso.test', registry });
      await next();
    });
    app.route('/', liveRoutes({ ...sample.here, database, clock, log, isStopping: () => isStopping }));
    const request = { id: 'c1', address: '192.0.2.7', name: 'Olivia', userAgent: 'docker' };
    for (const repository of ['app', 'team/app'])
      await sample.here.journal.transaction(async (_tx, append) => {
        const data = { repository, digest: 'sha256:00', mediaType: 'm', sizeBytes: 7, tags: ['v1'], request };
        append({
          stream: streamOf(sample.registryUid, 'here'),
          type: 'manifest.pushed',
          version: 1,
          actor: 'uid',
          data,
        });
      });
  });
  after(async () => {
    isStopping = true;
    await sample.close();
  });

  const ask = async (authorization: string | undefined, method = 'GET'): Promise<Response> =>
    await app.request('/events?after=start', { method, headers: authorization === undefined ? {} : { authorization } });
  /** What is shown: so many events, and what else comes soon after them. */
  const shown = async (authorization: string | undefined, count: number) => {
    const answer = await ask(authorization);
    assert.equal(answer.status, 200);
    const reader = answer.body?.getReader() ?? assert.fail();
    let text = '';
    while (true) {
      const isThere = text.split('\ndata: ').length > count;
      const piece = await Promise.race([reader.read(), sleep(isThere ? idleMs : patienceMs)]);
      if (piece?.value === undefined) break;
      text += Buffer.from(piece.value).toString();
    }
    await reader.cancel();
    return [...text.matchAll(/^data: (.*)$/gm)].map(([, json = '']) => eventSchema.parse(JSON.parse(json)));
  };
  const assertShown = async (authorization: string | undefined, subjects: readonly string[]) =>
    assert.deepEqual(
      (await shown(authorization, subjects.length)).map(({ subject }) => subject),
      subjects,
    );
  const withRoles = async (name: string, ...roles: readonly string[]) => {
    const person = await sample.person(name);
    for (const role of roles) {
      const { key } = builtInRoles.find((each) => each.name === role) ?? assert.fail(role);
      await sample.assign(person, key, sample.contoso);
    }
    return person;
  };
  const patch = async (properties: object) => {
    assert.equal((await sample.send('PATCH', sample.contoso, { properties })).status, 200);
    await sample.here.directory.refresh();
  };

  test('who did it, and from where, is shown to those who may read the audit', async () => {
    const puller = await withRoles('puller', 'AcrPull');
    await assertShown(puller.header, ['app:v1', 'team/app:v1']);
    for (const { data } of await shown(puller.header, 2)) {
      assert.deepEqual(Object.keys(data.request), ['id', 'host', 'method']);
      assert.equal(data.actor, undefined);
    }
    const [ofOwner] = await shown(sample.owner.header, 2);
    assert.equal(ofOwner?.data.request.addr, '192.0.2.7');
    assert.deepEqual(ofOwner?.data.actor, { name: 'Olivia' });
  });

  test('a token shows what it names', async () => {
    const puller = await withRoles('holder', 'AcrPull');
    const tokenOf = async (...actions: readonly string[]) => {
      const { accessToken } = await sample.here.issueTokens({
        registry: sample.here.directory.byUid(sample.registryUid) ?? assert.fail(),
        credentials: { kind: 'header', authorization: puller.header },
        asked: [
          { type: 'registry', name: 'catalog', actions: ['*'] },
          { type: 'repository', name: 'team/*', actions },
        ],
        wantsRefreshToken: false,
        circumstances: sampleCircumstances,
      });
      return `Bearer ${accessToken}`;
    };
    await assertShown(await tokenOf('pull', 'metadata_read'), ['team/app:v1']);
    await assertShown(await tokenOf('pull'), []);
  });

  test('strangers are shown what anonymous pull opens', async () => {
    assert.equal((await ask(undefined)).status, 401);
    await patch({ anonymousPullEnabled: true });
    const events = await shown(undefined, 2);
    assert.deepEqual(
      events.map(({ data }) => [data.request.addr, data.actor]),
      [
        [undefined, undefined],
        [undefined, undefined],
      ],
    );
  });

  test('HEAD takes no place, and one address has no more than its share', async () => {
    for (let count = 0; count < 600; count += 1) assert.equal((await ask(undefined, 'HEAD')).status, 200);
    const following: Response[] = [];
    for (let count = 0; count < 5; count += 1) following.push(await ask(undefined));
    assert.deepEqual(new Set(following.map(({ status }) => status)), new Set([200]));
    const beyond = await ask(undefined);
    assert.equal(beyond.headers.get('retry-after'), '10');
    for (const { body } of following) await body?.cancel();
    const again = await waitFor('a place', patienceMs, async () => {
      const answer = await ask(undefined);
      return answer.status === 200 ? answer : undefined;
    });
    await again.body?.cancel();
    await patch({ anonymousPullEnabled: false });
  });

  test('where rights go by repository, listing names is not enough', async () => {
    await patch({ roleAssignmentMode: 'AbacRepositoryPermissions' });
    const lister = await withRoles('lister', 'Container Registry Repository Catalog Lister');
    await assertShown(lister.header, []);
    const both = await withRoles(
      'reader',
      'Container Registry Repository Catalog Lister',
      'Container Registry Repository Reader',
    );
    await assertShown(both.header, ['app:v1', 'team/app:v1']);
    const narrowed = await withRoles('narrowed', 'Container Registry Repository Catalog Lister');
    const reader = builtInRoles.find(({ name }) => name === 'Container Registry Repository Reader') ?? assert.fail();
    const name = '@Request[Microsoft.ContainerRegistry/registries/repositories:name]';
    const condition = `(${name} StringNotEquals 'app')`;
    await sample.assign(narrowed, reader.key, sample.contoso, { condition, conditionVersion: '2.0' });
    await assertShown(narrowed.header, ['team/app:v1']);
  });

  test('a server that stops waits for no follower who reads nothing', async () => {
    const port = await freePort();
    const listeners = [{ host: '127.0.0.1', port }];
    const servers = await startHttpServers({ listeners, answer: answerWith(app), clock });
    // More than the buffers of both ends hold.
    const request = { id: 'c1', address: '192.0.2.7', name: 'Olivia', userAgent: 'x'.repeat(10_000) };
    for (let round = 0; round < 15; round += 1)
      await sample.here.journal.transaction(async (_tx, append) => {
        for (let each = 0; each < 100; each += 1)
          append({
            ...{ stream: streamOf(sample.registryUid, 'here'), type: 'manifest.pushed', version: 1, actor: 'uid' },
            data: { repository: 'app', digest: 'sha256:00', tags: ['v1'], request },
          });
      });
    const follower = await openSocket(port);
    const head = ['GET /events?after=start HTTP/1.1', 'Host: contoso.test', `Authorization: ${sample.owner.header}`];
    follower.write([...head, '', ''].join('\r\n'));
    await sleep(1_500);
    isStopping = true;
    const beganMs = clock.monotonicMs();
    await servers.stop(30_000);
    const tookMs = clock.monotonicMs() - beganMs;
    follower.destroy();
    assert.ok(tookMs < 15_000, `${tookMs} ms`);
  });
});
