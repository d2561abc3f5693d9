import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { builtOn, sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import { type WebhookReceiver, webhookReceiver } from '../../../../test/support/webhook-receiver.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { createJobs } from '../../../platform/jobs/create-jobs.ts';
import { createLog } from '../../../platform/log.ts';
import { createOutbound } from '../../../platform/outbound/outbound.ts';
import { systemClock } from '../../../platform/system-clock.ts';
import { systemIds as ids } from '../../../platform/system-ids.ts';
import { openTask } from '../tasks/task-secrets.ts';
import { BaseImages } from './base-images.ts';
import { baseUpdateCallKind } from './base-update-calls.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
const host = 'contoso.berth.test:5443';
const token = Buffer.from('who asked').toString('base64');
after(() => outbound.close());

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  let images: BaseImages;
  let receiver: WebhookReceiver;
  let status = 200;
  let page = '';

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
    const jobs = createJobs({ database, clock: systemClock, ids, log, pollMs: 10 });
    images = new BaseImages({ ...here, ...tasks, ...here.account, database, clock, ids, log, jobs });
    receiver = await webhookReceiver(
      (_received, response) => void response.writeHead(status, { 'content-length': page.length }).end(page),
    );
  });
  after(async () => {
    await receiver.close();
  });

  /** A task that calls an address, ran once, and whose base changes now. */
  const changed = async (name: string, more: object = {}) => {
    const updateTriggerEndpoint = `${receiver.url}/hook?key=s3cret`;
    const trigger = { baseImageTrigger: { name: 'base', updateTriggerEndpoint, ...more } };
    const { uid } = await tasks.put(name, sampleTask(name, { trigger }));
    const base = { registry: host, repository: `base/${name}`, tag: 'v1' };
    await tasks.push(base.repository, 'v1', `sha256:${name}1`);
    const { run_id: runId } = await here.journal.transaction((tx, append) =>
      tasks.runs.scheduleIn(tx, append, {
        ...{ registryUid: sample.registryUid, runType: 'QuickRun', source: { kind: 'none' }, cpus: 2 },
        work: { kind: 'encodedTask', content: 'steps: []', values: [] },
        platforms: [{ os: 'linux', architecture: 'amd64' }],
        ...{ timeoutSeconds: 600, authority: { kind: 'none' }, customRegistries: [], isArchiveEnabled: false },
        ...{ trigger: { kind: 'manual' }, task: { uid, name }, updateTriggerToken: token },
      }),
    );
    clock.advance(1_000);
    const ended = await tasks.finish(runId, builtOn({ ...base, digest: 'x' }, base));
    await images.learn(sample.registryUid, {
      ...ended,
      taskUid: uid,
      ...builtOn({ ...base, repository: name, digest: 'x' }, base),
    });
    clock.advance(1_000);
    await tasks.push(base.repository, 'v1', `sha256:${name}2`);
    await images.tagsSet(sample.registryUid, [base]);
    return uid;
  };
  /** Calls that are planned, done now. */
  const call = async (attempt = 1) => {
    const kind = baseUpdateCallKind({ ...here.account, database, log, outbound });
    const rows = await database.read.selectFrom('jobs').where('kind', '=', kind.kind).selectAll().execute();
    await database.transaction((tx) => tx.deleteFrom('jobs').where('kind', '=', kind.kind).execute());
    const signal = new AbortController().signal;
    for (const { payload } of rows)
      await kind.run({ payload: JSON.parse(payload), attempt, signal, renew: async () => {} });
    return rows.length;
  };

  test('an endpoint hears of the base image, the run, and what it gave to be handed back', async () => {
    status = 200;
    await changed('tell-all');
    assert.equal(await call(), 1);
    const { method, path, body } = receiver.received.at(-1) ?? assert.fail('it is called');
    assert.deepEqual([method, path], ['POST', '/hook?key=s3cret']);
    const told = JSON.parse(body);
    assert.partialDeepStrictEqual(told, {
      action: 'base_image_update',
      task: { name: 'tell-all' },
      images: [{ registry: host, repository: 'base/tell-all', tag: 'v1', digest: 'sha256:tell-all2' }],
      updateTriggerToken: token,
    });
    const run = (await tasks.list()).find(({ runId }) => runId === told.run.id);
    assert.equal(run?.trigger.kind, 'image');
    await changed('tell-little', { updateTriggerPayloadType: 'Token' });
    await call();
    assert.deepEqual(JSON.parse(receiver.received.at(-1)?.body ?? ''), { updateTriggerToken: token });
  });

  test('one that answers with a whole page has heard it', async () => {
    page = 'thanks '.repeat(20_000);
    await changed('tell-page');
    assert.equal(await call(), 1);
    page = '';
  });

  test('one that fails is called again, one that refuses is not', async () => {
    await changed('tell-again');
    status = 503;
    await assert.rejects(call(), /the endpoint answered 503/);
    await changed('tell-in-vain');
    assert.equal(await call(20), 1, 'after an hour it is left alone');
    await changed('tell-once');
    status = 410;
    assert.equal(await call(), 1);
  });

  test('the address is among the secrets of a task, and a PATCH without it keeps it', async () => {
    const baseImageTrigger = { name: 'base', updateTriggerEndpoint: 'https://hooks.example/key' };
    await tasks.put('secret-call', sampleTask('secret-call', { trigger: { baseImageTrigger } }));
    const resource = await tasks.patch('secret-call', (stored) => ({ ...stored, timeout: 900 }));
    assert.doesNotMatch(JSON.stringify(tasks.type.properties(resource, '')), /hooks\.example/);
    const opened = openTask(here.account, resource).trigger?.baseImageTrigger?.updateTriggerEndpoint;
    assert.equal(opened, 'https://hooks.example/key');
  });
});
