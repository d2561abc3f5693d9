import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { sharedPool } from '../../features/builds/agent-tokens.ts';
import { QueueWatch } from '../../features/builds/queue-watch.ts';
import { systemClock } from '../../platform/system-clock.ts';
import type { Env } from '../middleware/env.ts';
import { agentRoutes } from './agent-routes.ts';

forEachDatabase((_, open) => {
  let builds: SampleBuilds;
  before(async () => {
    builds = await sampleBuilds(await open());
  });
  after(() => builds.close());

  /** Asks for a run; what happens meanwhile happens between the first look for one and the second. */
  const lease = async (token: string, meanwhile: () => Promise<void>) => {
    let happened: Promise<void> | undefined;
    const sleep = async () => {
      happened ??= meanwhile();
      await happened;
    };
    const queue = new QueueWatch({ clock: { ...systemClock, sleep }, journal: builds.journal });
    const routes = agentRoutes({
      builds: {
        ...{ ...builds, queue },
        runBuiltIn: async function* () {},
        readVaultSecrets: async () => ({ refusal: 'not here' }),
      },
      transfer: { minBytesPerSecond: 1, windowMs: 30_000 },
    });
    const { here, registryUid } = builds;
    await here.directory.refresh();
    const registry = here.directory.byUid(registryUid) ?? assert.fail('the sample has it');
    const app = new Hono<Env>();
    app.use(async (c, next) => {
      c.set('call', { ...sampleCircumstances, origin: 'https://contoso.test', registry });
      await next();
    });
    app.route('/', routes);
    app.onError((error) => new Response('error' in error ? String(error.error) : error.message, { status: 401 }));
    const platforms = [{ os: 'linux', architecture: 'amd64' }];
    const answer = await app.request('/agent/v1/lease', {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ agent: 'agent-1', executor: 'none', isolation: 'none', platforms }),
    });
    queue.close();
    return answer;
  };

  test('an agent that waits is given the next run, but not once its token has been deleted', async () => {
    const { uid, token } = await builds.agentTokens.create(sharedPool, 'olivia');
    const schedule = async () => (await builds.runs.schedule(builds.newRun())).runId;
    const given = await lease(token, async () => void (await schedule()));
    assert.equal(given.status, 200);
    let runId = '';
    const refused = await lease(token, async () => {
      await builds.agentTokens.remove(uid, 'olivia');
      runId = await schedule();
    });
    assert.deepEqual([refused.status, await refused.text()], [401, 'agentUnknown']);
    assert.equal((await builds.runs.find(builds.registryUid, runId))?.status, 'Queued');
  });
});
