import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { type SamplePerson, type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { BerthError } from '../../core/errors.ts';
import { findPrincipal } from '../../features/access/role-principals.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Env } from '../middleware/env.ts';
import { createArm } from './create-arm.ts';
import { renderArmError } from './render-arm-error.ts';

const contributor = 'b24988ac-6180-42a0-ab88-20f7382dd24c';
const reader = 'acdd72a7-3385-48ef-bd42-f606fba81ae7';
const acrPush = '8311e382-0749-4cb8-b61a-304f252e45ec';
const steps = Buffer.from('steps: []').toString('base64');
const request = { type: 'EncodedTaskRunRequest', encodedTaskContent: steps };

const runSchema = z.looseObject({
  name: z.string(),
  properties: z.looseObject({ status: z.string(), runType: z.string(), isArchiveEnabled: z.boolean() }),
});
const listSchema = z.looseObject({ value: z.array(runSchema), nextLink: z.string().optional() });
const errorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

forEachDatabase((_, open) => {
  let database: Database;
  let roles: SampleRoles;
  let builds: SampleBuilds;
  let app: Hono<Env>;
  const people: Record<string, SamplePerson> = {};

  before(async () => {
    database = await open();
    roles = await sampleRoles(database);
    builds = await sampleBuilds(database, roles);
    app = appOf();
    for (const [name, role] of Object.entries({ contributor, reader, pusher: acrPush })) {
      people[name] = await roles.person(name);
      await roles.assign(people[name], role, roles.contoso);
    }
    people.stranger = await roles.person('stranger');
  });
  after(async () => {
    await builds.close();
    await roles.close();
  });

  /** The resource manager with runs. */
  const appOf = () => {
    const { here, store, jobs, log } = builds;
    const arm = createArm({
      ...here.account,
      ...{ database, store, jobs, log, journal: here.journal, tenantUid: roles.tenantUid, tenantId: 'tenant' },
      accessLog: { record: () => {}, flush: async () => {}, close: async () => {} },
      domain: 'berth.test',
      loginServerOf: (label) => `${label}.berth.test`,
      defaultRegistryName: 'contoso',
      locationNames: ['local'],
      transfer: { minBytesPerSecond: 1, windowMs: 30_000 },
      builds: { ...builds, blobOriginOf: ({ name }) => `https://${name.toLowerCase()}.blob.berth.test` },
      tenantCaller: async (authorization = '') => {
        const uid = authorization.slice('Bearer '.length);
        const principal = await findPrincipal(database.read, roles.tenantUid, uid);
        if (principal === undefined) throw new BerthError('unauthorized');
        return principal;
      },
    });
    const made = new Hono<Env>();
    made.use(async (c, next) => {
      const registry = here.directory.defaultRegistry() ?? assert.fail();
      const call = { correlationId: 'test', address: '192.0.2.1', origin: 'https://arm.test', userAgent: undefined };
      c.set('call', { ...call, registry });
      await next();
    });
    made.onError((error, c) => {
      if (error instanceof BerthError) return renderArmError(c, error);
      throw error;
    });
    made.route('/', arm.routes);
    return made;
  };
  const send = async (as: string, method: string, path: string, body?: object): Promise<Response> =>
    await app.request(
      `https://arm.test${roles.contoso}/${path}${path.includes('?') ? '&' : '?'}api-version=2019-04-01`,
      {
        method,
        headers: { authorization: (people[as] ?? assert.fail()).as },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
    );
  const schedule = async () =>
    runSchema.parse(await (await send('contributor', 'POST', 'scheduleRun', request)).json()).name;
  const errorOf = async (as: string, method: string, path: string, body?: object) => {
    const answer = await send(as, method, path, body);
    return { status: answer.status, ...errorSchema.parse(await answer.json()).error };
  };

  test('each thing that is done with runs needs its own right', async () => {
    const runId = await schedule();
    const calls: [string, string, object?][] = [
      ['POST', 'scheduleRun', request],
      ['POST', 'listBuildSourceUploadUrl'],
      ['GET', `runs/${runId}`],
      ['PATCH', `runs/${runId}`, { isArchiveEnabled: true }],
      ['POST', `runs/${runId}/listLogSasUrl`],
      ['POST', `runs/${runId}/cancel`],
    ];
    const statuses = async (as: string) => {
      const found: number[] = [];
      for (const [method, path, body] of calls) found.push((await send(as, method, path, body)).status);
      return found;
    };
    assert.deepEqual(await statuses('stranger'), [403, 403, 403, 403, 403, 403]);
    assert.deepEqual(await statuses('pusher'), [403, 403, 403, 403, 403, 403]);
    assert.deepEqual(await statuses('reader'), [403, 403, 200, 403, 403, 403]);
    assert.deepEqual(await statuses('contributor'), [200, 200, 200, 200, 200, 200]);
  });

  test('a run that waits can be shown, listed and updated by clients that wait for whatever is not yet made', async () => {
    const runId = await schedule();
    const shown = z.looseObject({ properties: z.looseObject({ status: z.string(), provisioningState: z.string() }) });
    for (const [method, body] of [['GET'], ['PATCH', { isArchiveEnabled: true }]] as const) {
      const { properties } = shown.parse(await (await send('contributor', method, `runs/${runId}`, body)).json());
      assert.deepEqual([properties.status, properties.provisioningState], ['Queued', 'Succeeded']);
    }
  });

  test('a list shows what its caller may read, as many as they ask for, and the way to the rest', async () => {
    const names = async (as: string, query: string) => {
      const { value, nextLink } = listSchema.parse(await (await send(as, 'GET', `runs${query}`)).json());
      return { names: value.map(({ name }) => name), nextLink };
    };
    const last = await schedule();
    assert.deepEqual(await names('pusher', ''), { names: [], nextLink: undefined });
    assert.deepEqual(await names('reader', '?$top=1'), { names: [last], nextLink: undefined });
    assert.deepEqual(await names('reader', '?$top=0'), { names: [], nextLink: undefined });
    for (let index = 0; index < 101; index += 1) await builds.runs.schedule(builds.newRun());
    const first = await names('reader', '');
    assert.equal(first.names.length, 100);
    const { searchParams } = new URL(first.nextLink ?? assert.fail('there is no next page'));
    const rest = await names('reader', `?$skiptoken=${searchParams.get('$skiptoken')}`);
    assert(rest.names.includes(last) && rest.names.every((name) => !first.names.includes(name)));
    assert.equal((await errorOf('reader', 'GET', `runs?$filter=nothing eq 'x'`)).code, 'InvalidFilterInQueryString');
    assert.equal((await errorOf('reader', 'GET', 'runs?$top=many')).code, 'InvalidRequestContent');
  });

  test('what is not there or makes no sense is said so', async () => {
    assert.equal((await errorOf('contributor', 'GET', 'runs/zz1')).code, 'RunNotFound');
    assert.equal((await errorOf('contributor', 'GET', 'runs/no%27run')).code, 'RunNotFound');
    const refusals: [string, object][] = [
      ['InvalidRunRequest', { ...request, platform: { os: 'Windows', architecture: 'amd64' } }],
      ['InvalidRunRequest', { ...request, agentPoolName: 'nothing' }],
      ['InvalidRunRequest', { ...request, logTemplate: 'logs:{{.Run.ID}}' }],
      ['InvalidRunRequest', { ...request, credentials: { sourceRegistry: { identity: '[system]' } } }],
      [
        'InvalidRunRequest',
        {
          ...request,
          credentials: { customRegistries: { 'x.test': { password: { type: 'Vaultsecret', value: 'y' } } } },
        },
      ],
      [
        'SourceLocationNotFound',
        { ...request, sourceLocation: `source/202601010000/${'0'.repeat(8)}-0000-4000-8000-${'0'.repeat(12)}.tar.gz` },
      ],
    ];
    for (const [code, body] of refusals)
      assert.equal((await errorOf('contributor', 'POST', 'scheduleRun', body)).code, code, JSON.stringify(body));
    const many = Object.fromEntries(
      Array.from({ length: 101 }, (_each, at) => [`r${at}.test`, { identity: '[caller]' }]),
    );
    const unreal = [
      { ...request, timeout: 299 },
      { ...request, timeout: 28_801 },
    ];
    for (const body of [{}, { type: 'Other' }, ...unreal, { ...request, credentials: { customRegistries: many } }])
      assert.equal((await errorOf('contributor', 'POST', 'scheduleRun', body)).status, 400, JSON.stringify(body));
    assert.equal((await send('contributor', 'DELETE', `runs/${await schedule()}`)).status, 405);
  });

  test('a run works with the rights of who asked for it, or with none', async () => {
    await database.transaction(async (tx) => {
      await tx
        .updateTable('runs')
        .set({ finished_at: 1, status: 'Canceled' })
        .where('finished_at', 'is', null)
        .execute();
    });
    await schedule();
    const own = await builds.take();
    assert.deepEqual([own?.credentials.length, own?.registryUrl], [1, 'https://contoso.berth.test:5443']);
    const none = { ...request, credentials: { sourceRegistry: { loginMode: 'None' } } };
    assert.equal((await send('contributor', 'POST', 'scheduleRun', none)).status, 200);
    assert.deepEqual((await builds.take())?.credentials, []);
  });
});
