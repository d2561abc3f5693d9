import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { BerthError } from '../../core/errors.ts';
import { agentPoolType } from '../../features/builds/tasks/agent-pool.ts';
import { Removals } from '../../features/resources/removal.ts';
import type { Author, Resource } from '../../features/resources/resource.ts';
import { childName } from '../../features/resources/resource-names.ts';
import { findByUid, findResource } from '../../features/resources/resource-store.ts';
import { resourceTypes } from '../../features/resources/resource-type.ts';
import { Resources } from '../../features/resources/resources.ts';
import type { Database } from '../../platform/database/database.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { RunResult } from '../../wire/builds/agent-protocol.ts';
import { agentPoolArmType } from './agent-pool-type.ts';

forEachDatabase((_, open) => {
  const canceled: RunResult = { status: 'Canceled', images: [], dependencies: [] };
  let database: Database;
  let builds: SampleBuilds;
  let pools: ReturnType<typeof poolsOf>;

  before(async () => {
    database = await open();
    builds = await sampleBuilds(database);
    pools = poolsOf(builds);
  });
  after(() => builds.close());

  /** Pools of the first registry, written and deleted as the control plane does. */
  const poolsOf = ({ here, registryUid, tenantUid, ownerUid, journal, jobs, log, runs }: SampleBuilds) => {
    const author: Author = { uid: ownerUid, name: 'Olivia', kind: 'User' };
    let sleeps = 0;
    let whileWaiting = async () => {};
    /** Time goes by at once. */
    const clock = {
      ...systemClock,
      monotonicMs: () => sleeps * 5_000,
      sleep: async () => {
        sleeps += 1;
        await whileWaiting();
      },
    };
    const type = agentPoolArmType({ database, tenantUid, clock, builds: { runs } });
    const engine = { ...here.account, database, journal, jobs, log, clock, ids, tenantUid, region: 'here' };
    const resources = new Resources(engine);
    const removals = new Removals({ ...engine, types: resourceTypes([type]) });
    const named = async (name: string) => {
      const registry = (await findByUid(database.read, registryUid)) ?? assert.fail('the sample has this registry');
      return childName(registry, agentPoolType, name);
    };
    return {
      type,
      put: async (name: string, properties: JsonObject = {}) => {
        const common = { location: 'local', tags: {}, sku: undefined, identity: undefined };
        const desire = () => ({ ...common, properties });
        return (await resources.write({ type, name: await named(name), author, desire })).resource;
      },
      remove: async (name: string, meanwhile = async () => {}) => {
        whileWaiting = meanwhile;
        const { id } = await named(name);
        await removals.begin({ id, author });
        const leaving = (await findResource(database.read, tenantUid, id)) ?? assert.fail();
        const before = sleeps;
        await removals.finish(leaving, { signal: new AbortController().signal, renew: async () => {} });
        assert.equal(await findResource(database.read, tenantUid, id), undefined);
        return sleeps - before;
      },
    };
  };
  const queue = async (agentPoolName: string) => (await builds.runs.schedule(builds.newRun({ agentPoolName }))).runId;
  const statusOf = async (runId: string) => (await builds.runs.find(builds.registryUid, runId))?.status;
  const refused = (pattern: RegExp) => (error: unknown) =>
    error instanceof BerthError && pattern.test(JSON.stringify(error.detail));

  test('the name of the pool that every registry has is refused, and so are names that no pool may have', async () => {
    for (const name of ['default', 'Default', 'ab', 'a_b', 'a'.repeat(21), '../x'])
      await assert.rejects(async () => await pools.put(name), refused(/agent pool name/), name);
  });

  test('what a pool cannot be is refused: another tier than it has, another system, a virtual network, less than nothing', async () => {
    await pools.put('fixed', { tier: 's2' });
    for (const [properties, why] of [
      [{ tier: 'S1' }, /is S2 and cannot be changed/],
      [{ tier: 'X9' }, /tier/],
      [{ tier: 'S2', os: 'Windows' }, /agents run on Linux/],
      [{ tier: 'S2', count: -1 }, /count/],
      [{ tier: 'S2', buildNetworkAccess: 'off' }, /use Enabled or Disabled/],
      [{ tier: 'S2', virtualNetworkSubnetResourceId: '/subscriptions/x' }, /no virtual networks/],
    ] as const)
      await assert.rejects(pools.put('fixed', properties), refused(why));
  });

  test('the network of a pool is shown where it was set, and a write that does not name it leaves it shut', async () => {
    const shown = (resource: Resource) => pools.type.properties(resource, '').buildNetworkAccess;
    assert.equal(shown(await pools.put('shut')), undefined);
    assert.equal(shown(await pools.put('shut', { buildNetworkAccess: 'Disabled' })), 'Disabled');
    assert.equal(shown(await pools.put('shut', { count: 3 })), 'Disabled');
    assert.equal(shown(await pools.put('shut', { buildNetworkAccess: 'Enabled' })), 'Enabled');
  });

  test('a pool that is deleted takes its runs along, and its tokens open no later pool of its name', async () => {
    const key = { registryUid: builds.registryUid, key: 'leaving' };
    await pools.put('Leaving', { count: 1 });
    const { token } = await builds.agentTokens.create(key, 'olivia');
    const { token: other } = await builds.agentTokens.create({ ...key, key: 'staying' }, 'olivia');
    const [begun, waiting] = [await queue('leaving'), await queue('LEAVING')];
    const elsewhere = (await builds.runs.schedule(builds.newRun())).runId;
    const { lease } = (await builds.take('agent-1', key)) ?? assert.fail('one begins');
    let isHeard = false;
    await pools.remove('leaving', async () => {
      assert.equal(await builds.take('agent-1', key), undefined, 'none begins while it leaves');
      if (!isHeard && (await builds.leases.renew(lease)).isCanceled) await builds.leases.finish(lease, canceled);
      isHeard = true;
    });
    assert.deepEqual(
      [await statusOf(begun), await statusOf(waiting), await statusOf(elsewhere)],
      ['Canceled', 'Canceled', 'Queued'],
    );
    await assert.rejects(builds.agentTokens.poolOf(token));
    assert.equal((await builds.agentTokens.poolOf(other)).key, 'staying');
    await pools.put('leaving');
    await assert.rejects(builds.agentTokens.poolOf(token));
  });

  test('an agent that never hears of it holds up the deletion of its pool for a minute', async () => {
    const key = { registryUid: builds.registryUid, key: 'deaf-one' };
    await pools.put('deaf-one');
    const run = await queue('deaf-one');
    await builds.take('agent-1', key);
    const sleeps = await pools.remove('deaf-one');
    assert(sleeps >= 12 && sleeps < 15, `${sleeps} times 5 seconds`);
    await builds.loseAgents();
    await builds.runJob('builds.runs.overdue');
    assert.equal(await statusOf(run), 'Canceled');
  });

  test('the queue of a pool is counted, and a count of 0 begins nothing', async () => {
    const key = { registryUid: builds.registryUid, key: 'resting' };
    const resource = await pools.put('resting', { count: 0 });
    await queue('Resting');
    await queue('resting');
    const { actions } = pools.type;
    const count = async () =>
      await actions?.listqueuestatus?.run({ resource, body: {}, author: resource.changedBy, apiVersion: '' });
    assert.deepEqual(await count(), { count: 2 });
    assert.equal(await builds.take('agent-1', key), undefined);
    await pools.put('resting', { count: 1 });
    assert.notEqual(await builds.take('agent-1', key), undefined);
    assert.deepEqual(await count(), { count: 1 });
  });
});
