import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { sampleTask, sampleTasks } from '../../../test/support/sample-tasks.ts';
import { storedTaskOf } from '../../features/builds/tasks/task.ts';
import { HeldClock } from '../../platform/held-clock.ts';

const detailsSchema = z.looseObject({
  properties: z.looseObject({ step: z.looseObject({ contextPath: z.string() }) }),
});

forEachDatabase((_, open) => {
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  before(async () => {
    const database = await open();
    const clock = new HeldClock();
    const sample = await sampleAccess(database);
    const here = await sampleProcess(database, sample.tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
  });

  test('a token in an address of a task is shown to those alone who may see its secrets', async () => {
    const own = 'https://bob:s3cret@git.example/team/app.git';
    const sourceRepository = { sourceControlType: 'Github', repositoryUrl: own, branch: 'main' };
    const trigger = { sourceTriggers: [{ name: 'source', sourceTriggerEvents: ['commit'], sourceRepository }] };
    const { step } = sampleTask('app');
    const written = { ...sampleTask('app'), step: Object.assign({}, step, { contextPath: `${own}#main` }), trigger };
    const resource = await tasks.put('app-task', written);
    const shown = JSON.stringify(tasks.type.properties(resource, '2019-06-01-preview'));
    assert.doesNotMatch(shown, /s3cret/);
    assert.match(shown, /"contextPath":"https:\/\/git\.example\/team\/app\.git#main"/);
    assert.match(shown, /"repositoryUrl":"https:\/\/git\.example\/team\/app\.git"/);
    const details = await tasks.type.actions?.listdetails?.run({
      ...{ resource, body: {}, apiVersion: '2019-06-01-preview' },
      author: { uid: 'owner', name: 'Olivia', kind: 'User' },
    });
    assert.equal(detailsSchema.parse(details).properties.step.contextPath, `${own}#main`);
  });

  test('whoever writes back what was shown of a task keeps the token of its address, and loses it with another', async () => {
    const own = 'https://bob:s3cret@git.example/team/back.git';
    const open = own.replace('bob:s3cret@', '');
    const { step } = sampleTask('back');
    const task = (address: string, context = `${address}#main`) => ({
      ...sampleTask('back'),
      step: Object.assign({}, step, { contextPath: context }),
      trigger: {
        sourceTriggers: [
          {
            name: 'source',
            sourceTriggerEvents: ['commit'],
            sourceRepository: { sourceControlType: 'Github', repositoryUrl: address, branch: 'main' },
          },
        ],
      },
    });
    const addressesOf = ({ properties }: Awaited<ReturnType<typeof tasks.put>>) => {
      const { step: stored, trigger } = storedTaskOf({ properties });
      return [stored?.contextPath, trigger?.sourceTriggers?.[0]?.sourceRepository.repositoryUrl];
    };
    await tasks.put('back-task', task(own));
    assert.deepEqual(addressesOf(await tasks.put('back-task', task(open))), [`${own}#main`, own]);
    assert.deepEqual(addressesOf(await tasks.patch('back-task', () => task(open))), [`${own}#main`, own]);
    const other = 'https://bob:n3w@git.example/team/back.git';
    assert.deepEqual(addressesOf(await tasks.put('back-task', task(other))), [`${other}#main`, other]);
    assert.deepEqual(addressesOf(await tasks.put('back-task', task(open, `${open}#other`))), [`${open}#other`, other]);
    const elsewhere = 'https://git.example/team/else.git';
    assert.deepEqual(addressesOf(await tasks.put('back-task', task(elsewhere))), [`${elsewhere}#main`, elsewhere]);
    assert.deepEqual(addressesOf(await tasks.put('back-task', task(open))), [`${open}#main`, open]);
  });
});
