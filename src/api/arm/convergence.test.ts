import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { BerthError } from '../../core/errors.ts';
import type { Principal } from '../../features/identity/principal.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { ConvergeRun } from '../../features/resources/resource-type.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { createFolderStore } from '../../platform/blob-store/folder-store.ts';
import type { Database } from '../../platform/database/database.ts';
import { createFailpoints } from '../../platform/failpoints.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJobs } from '../../platform/jobs/create-jobs.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';
import type { ArmType } from './arm-type.ts';
import { armOf } from './create-arm.ts';
import { resourceGroupType } from './group-type.ts';
import { renderArmError } from './render-arm-error.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const version = 'api-version=2025-11-01';

const shipSchema = z.looseObject({
  location: z.string(),
  properties: z.looseObject({ provisioningState: z.string(), sails: z.number().exactOptional() }),
});

const deploymentSchema = z.looseObject({
  properties: z.looseObject({
    provisioningState: z.string(),
    error: z.unknown().optional(),
    outputs: z.unknown().optional(),
  }),
});

/** What the long part of a ship does. */
type Building = (resource: Resource, run: ConvergeRun) => Promise<void>;

/** A type whose writes are done by `build`, unless only tags change. */
function shipType(build: Building, cleared: string[]): ArmType {
  return {
    type: 'Contoso.Yard/ships',
    level: 'group',
    hasLocation: true,
    hasSystemData: false,
    checkName: () => {},
    validate: ({ desired }) => ({ ...desired, sku: undefined, identity: undefined }),
    converge: {
      isNeeded: ({ resource, previous }) =>
        previous === undefined ||
        JSON.stringify(previous.properties.wanted) !== JSON.stringify(resource.properties.wanted),
      run: build,
    },
    clear: async ({ name }) => {
      cleared.push(name);
    },
    properties: ({ properties, state }) => ({ ...properties, provisioningState: state }),
  };
}

/** One process of a control plane with that type. */
async function process(database: Database, tenantUid: string, folder: string, type: ArmType) {
  const here = await sampleProcess(database, tenantUid, new HeldClock());
  const { uid } = await database.read
    .selectFrom('principals')
    .select('uid')
    .where('is_owner', '=', 1)
    .executeTakeFirstOrThrow();
  const store = createFolderStore({ folder, ids, failpoint: createFailpoints(undefined, systemClock) });
  const jobs = createJobs({ database, clock: systemClock, ids, log, pollMs: 10 });
  const accessLog = createAccessLog({ database, clock: systemClock, ids, log });
  const parts = {
    ...{ ...here.account, clock: systemClock, database, journal: here.journal, store, jobs, accessLog, log, tenantUid },
    ...{ tenantId: ids.guid(), domain: 'berth.test', defaultRegistryName: 'contoso', locationNames: ['local'] },
    loginServerOf: (label: string) => `${label}.berth.test`,
    transfer: { minBytesPerSecond: 1, windowMs: 30_000 },
    tenantCaller: async (): Promise<Principal> => ({
      kind: 'user',
      uid,
      name: 'Olivia',
      isOwner: true,
      registryUid: undefined,
    }),
  };
  const arm = armOf(parts, [resourceGroupType, type]);
  const app = new Hono<Env>();
  const registry = here.directory.defaultRegistry();
  assert(registry !== undefined);
  app.use(async (c, next) => {
    const call = { correlationId: 'test', address: '192.0.2.1', origin: 'https://arm.test', userAgent: undefined };
    c.set('call', { ...call, registry });
    await next();
  });
  app.onError((error, c) => {
    if (error instanceof BerthError) return renderArmError(c, error);
    throw error;
  });
  app.route('/', arm.routes);
  const fetch = async (url: string, method = 'GET', body?: JsonObject) =>
    await app.request(url, {
      method,
      headers: { authorization: 'Bearer Olivia' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return {
    runJobs: () => jobs.start(arm.jobKinds),
    /** One run of the long part, as after so many that were cut off. */
    converge: async (resourceUid: string, attempt: number) => {
      const { signal } = new AbortController();
      const kind = arm.jobKinds.find(({ kind: name }) => name === 'resources.converge');
      await kind?.run({ payload: { uid: resourceUid }, attempt, signal, renew: async () => {} });
    },
    send: async (method: string, path: string, body?: JsonObject) =>
      await fetch(`https://arm.test${path}?${version}`, method, body),
    /** How the operation of an answer stands. */
    standing: async (answer: Response) => {
      const address = answer.headers.get('azure-asyncoperation') ?? '';
      const schema = z.looseObject({ status: z.string(), error: z.looseObject({ code: z.string() }).exactOptional() });
      return schema.parse(await (await fetch(address)).json());
    },
    stop: async () => {
      await jobs.stop();
      await here.close();
      await accessLog.close();
    },
  };
}

forEachDatabase((_, open) => {
  const folder = temporaryFolder('converge');
  const cleared: string[] = [];
  let database: Database;
  let tenantUid = '';
  let here: Awaited<ReturnType<typeof process>>;
  let group = '';
  /** What ships are built by; each test sets its own. */
  let build: Building = async () => {};

  before(async () => {
    database = await open();
    tenantUid = (await sampleAccess(database)).tenantUid;
    here = await process(
      database,
      tenantUid,
      folder.path,
      shipType((...args) => build(...args), cleared),
    );
    const list = z.object({ value: z.array(z.looseObject({ id: z.string() })) });
    const { value } = list.parse(await (await here.send('GET', '/subscriptions')).json());
    group = `${value[0]?.id}/resourceGroups/yard`;
    assert.equal((await here.send('PUT', group, { location: 'local' })).status, 201);
    here.runJobs();
  });
  after(async () => {
    await here.stop();
    folder.remove();
  });

  const ship = (name: string) => `${group}/providers/Contoso.Yard/ships/${name}`;
  const order = async (name: string, wanted: number, tags: JsonObject = {}) =>
    await here.send('PUT', ship(name), { location: 'local', tags, properties: { wanted } });
  const shown = async (name: string) => shipSchema.parse(await (await here.send('GET', ship(name))).json()).properties;
  const becomes = async (name: string, state: string) =>
    await waitFor(`${name} is ${state}`, 120_000, async () => (await shown(name)).provisioningState === state);
  /** A build that goes on when it is let, and writes how many sails it set. */
  const held = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    build = async ({ properties }, run) => {
      await run.write(async (_writing, resource) => ({ ...resource.properties, sails: 1 }));
      await promise;
      await run.write(async (_writing, resource) => ({ ...resource.properties, sails: Number(properties.wanted) }));
    };
    return resolve;
  };

  test('a creation answers 201 at once, shows how far it is, and ends as Succeeded', async () => {
    const goOn = held();
    const answer = await order('argo', 3);
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('retry-after'), '1');
    assert.equal(shipSchema.parse(await answer.clone().json()).properties.provisioningState, 'Creating');
    assert.equal((await here.standing(answer)).status, 'InProgress');
    await waitFor('the first sail', 120_000, async () => (await shown('argo')).sails === 1);
    const again = await order('argo', 3);
    assert.equal(again.status, 200);
    goOn();
    await becomes('argo', 'Succeeded');
    assert.equal((await shown('argo')).sails, 3);
    assert.equal((await here.standing(answer)).status, 'Succeeded');
    assert.equal((await here.standing(again)).status, 'Succeeded');
  });

  test('a change without a long part is done at once', async () => {
    held()();
    await order('brig', 2);
    await becomes('brig', 'Succeeded');
    const answer = await here.send('PATCH', ship('brig'), { tags: { flag: 'red' } });
    assert.deepEqual([answer.status, answer.headers.get('azure-asyncoperation')], [200, null]);
    assert.equal(shipSchema.parse(await answer.json()).properties.provisioningState, 'Succeeded');
  });

  test('a write during the long part is taken: the last one wins, and every operation ends', async () => {
    const goOn = held();
    const first = await order('clipper', 3);
    await waitFor('the first sail', 120_000, async () => (await shown('clipper')).sails === 1);
    const second = await here.send('PATCH', ship('clipper'), { properties: { wanted: 9 } });
    assert.equal((await here.standing(second)).status, 'InProgress');
    goOn();
    await becomes('clipper', 'Succeeded');
    assert.equal((await shown('clipper')).sails, 9);
    assert.deepEqual(
      [(await here.standing(first)).status, (await here.standing(second)).status],
      ['Succeeded', 'Succeeded'],
    );
  });

  test('what it is refused for is shown; the same request tries again', async () => {
    build = async () => {
      throw refuse('resourceInvalid', { message: 'There is no timber.', target: 'properties.wanted' });
    };
    const answer = await order('dhow', 1);
    await becomes('dhow', 'Failed');
    const { status, error } = await here.standing(answer);
    assert.deepEqual(
      [status, error],
      ['Failed', { code: 'InvalidParameter', message: 'There is no timber.', target: 'properties.wanted' }],
    );
    held()();
    const again = await order('dhow', 1);
    assert.equal(shipSchema.parse(await again.json()).properties.provisioningState, 'Updating');
    await becomes('dhow', 'Succeeded');
  });

  test('a deletion stops what is under way, and clears after it', async () => {
    const goOn = held();
    await order('frigate', 2);
    await waitFor('the first sail', 120_000, async () => (await shown('frigate')).sails === 1);
    const deletion = await here.send('DELETE', ship('frigate'));
    assert.equal(deletion.status, 202);
    await systemClock.sleep(400);
    assert.deepEqual(cleared, []);
    goOn();
    await waitFor('it is gone', 120_000, async () => (await here.send('GET', ship('frigate'))).status === 404);
    assert.deepEqual(cleared, ['frigate']);
  });

  test('a deployment waits for the long part, and fails with it', async () => {
    const template = {
      $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
      contentVersion: '1.0.0.0',
      resources: [
        {
          type: 'Contoso.Yard/ships',
          apiVersion: '2025-11-01',
          name: 'galley',
          location: 'local',
          properties: { wanted: 4 },
        },
      ],
      outputs: { sails: { type: 'int', value: "[reference('galley').sails]" } },
    };
    const deployment = `${group}/providers/Microsoft.Resources/deployments/fleet`;
    const deploy = async () => {
      await here.send('PUT', deployment, { properties: { mode: 'Incremental', template } });
      let ended = deploymentSchema.parse({ properties: { provisioningState: '' } }).properties;
      await waitFor('the deployment ends', 120_000, async () => {
        ended = deploymentSchema.parse(await (await here.send('GET', deployment)).json()).properties;
        return ['Succeeded', 'Failed'].includes(ended.provisioningState);
      });
      return ended;
    };
    build = async () => {
      throw refuse('resourceInvalid', { message: 'There is no timber.' });
    };
    const failed = await deploy();
    assert.equal(failed.provisioningState, 'Failed');
    assert.match(JSON.stringify(failed.error), /ResourceDeploymentFailure.*There is no timber/);
    held()();
    assert.deepEqual((await deploy()).outputs, { sails: { type: 'Int', value: 4 } });
  });

  test('what cuts off every run is told as failed', async () => {
    const other = await open();
    const { tenantUid: otherTenant } = await sampleAccess(other);
    const there = await process(
      other,
      otherTenant,
      folder.path,
      shipType(async () => {}, []),
    );
    const base = group.replace(/subscriptions\/[^/]+/, `subscriptions/${await subscriptionOf(there)}`);
    await there.send('PUT', base, { location: 'local' });
    const path = `${base}/providers/Contoso.Yard/ships/hulk`;
    const answer = await there.send('PUT', path, { location: 'local' });
    const { uid } = await other.read
      .selectFrom('resources')
      .select('uid')
      .where('name', '=', 'hulk')
      .executeTakeFirstOrThrow();
    await there.converge(uid, 6);
    assert.equal((await there.standing(answer)).error?.code, 'InternalServerError');
    const { properties } = shipSchema.parse(await (await there.send('GET', path)).json());
    assert.equal(properties.provisioningState, 'Failed');
    await there.stop();
  });

  test('a server that stops leaves the rest to its next start', async () => {
    const other = await open();
    const { tenantUid: otherTenant } = await sampleAccess(other);
    const { promise: begun, resolve: tellBegun } = Promise.withResolvers<void>();
    const stuck: Building = async (_resource, run) => {
      tellBegun();
      await systemClock.sleep(60_000, run.signal);
    };
    const first = await process(other, otherTenant, folder.path, shipType(stuck, []));
    const base = group.replace(/subscriptions\/[^/]+/, `subscriptions/${await subscriptionOf(first)}`);
    await first.send('PUT', base, { location: 'local' });
    const answer = await first.send('PUT', `${base}/providers/Contoso.Yard/ships/ketch`, { location: 'local' });
    first.runJobs();
    await begun;
    await first.stop();
    const second = await process(
      await open({ again: other }),
      otherTenant,
      folder.path,
      shipType(async () => {}, []),
    );
    assert.equal((await second.standing(answer)).status, 'InProgress');
    second.runJobs();
    await waitFor('the end', 120_000, async () => (await second.standing(answer)).status === 'Succeeded');
    await second.stop();
  });
});

async function subscriptionOf({ send }: Awaited<ReturnType<typeof process>>): Promise<string> {
  const list = z.object({ value: z.array(z.looseObject({ subscriptionId: z.string() })) });
  return list.parse(await (await send('GET', '/subscriptions')).json()).value[0]?.subscriptionId ?? '';
}
