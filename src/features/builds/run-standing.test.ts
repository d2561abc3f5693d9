import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import type { Database } from '../../platform/database/database.ts';
import type { RunResult } from '../../wire/builds/agent-protocol.ts';
import { standingOf } from './run-standing.ts';

const done: RunResult = { status: 'Succeeded', images: [], dependencies: [] };

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleBuilds;
  before(async () => {
    database = await open();
    sample = await sampleBuilds(database);
  });
  after(() => sample.close());

  /** A run in the hands of an agent, and what it may do. */
  const standing = async () => {
    await sample.runs.schedule(sample.newRun());
    const { lease } = (await sample.take()) ?? assert.fail('no run waits');
    const { here } = sample;
    const call = { run: await sample.leases.held(lease), from: sampleCircumstances };
    const wanted = { registry: undefined, action: 'catalogList' } as const;
    const { authority } = await standingOf({ database, ...here, sealer: here.account.sealer }, call, wanted);
    return { lease, authority };
  };
  /** What the tenant's access epoch is now. */
  const epochNow = async () => {
    await sample.here.directory.refresh();
    return sample.here.directory.epoch();
  };

  test('a command goes on when rights of others change, and ends with its run', async () => {
    const { lease, authority } = await standing();
    const other = await standing();
    await sample.leases.finish(other.lease, done);
    await sample.runJob('builds.runs.ended');
    const epoch = await epochNow();
    assert(epoch > authority.epoch());
    await authority.confirm(epoch);
    await sample.leases.finish(lease, done);
    await sample.runJob('builds.runs.ended');
    await assert.rejects(authority.confirm(await epochNow()), { error: 'denied', detail: /the run has ended/ });
  });

  test('a command of an agent that was lost goes no further when another has the run', async () => {
    const { authority } = await standing();
    await sample.loseAgents();
    await sample.runJob('builds.runs.overdue');
    await sample.take('agent-2');
    await sample.runJob('builds.runs.attempt-lost');
    await assert.rejects(authority.confirm(await epochNow()), { error: 'denied' });
  });
});
