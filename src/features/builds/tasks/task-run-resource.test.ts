import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMasterKeys } from '../../../platform/keys/master-keys.ts';
import { createSealer } from '../../../platform/keys/sealer.ts';
import { systemIds as ids } from '../../../platform/system-ids.ts';
import { type JsonObject, mergeJson } from '../../../wire/arm/json.ts';
import type { Resource } from '../../resources/resource.ts';
import { openRequest, settleTaskRun, shownRequest, taskRunType, validateTaskRun } from './task-run-resource.ts';

const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const parts = { sealer, ids };
const author = { uid: 'owner', name: 'Olivia', kind: 'User' } as const;
const named = {
  id: '/x/taskRuns/run-a',
  parentId: '/x',
  subscriptionId: 's',
  groupName: 'g',
  type: taskRunType,
  name: 'run-a',
};
const empty = { location: undefined, tags: {}, sku: undefined, identity: undefined };

const request = {
  type: 'DockerBuildRequest',
  sourceLocation: 'https://git.example/a.git',
  dockerFilePath: 'Dockerfile',
  arguments: [
    { name: 'PASSWORD', value: 'hunter2', isSecret: true },
    { name: 'COLOR', value: 'red' },
  ],
  credentials: { customRegistries: { 'a.example': { userName: { value: 'bob' }, password: { value: 'hunter3' } } } },
};

/** As the engine writes it: checked, then settled. */
function write(properties: JsonObject, previous?: Resource, state: Resource['state'] = 'Succeeded'): Resource {
  const desired = validateTaskRun({ name: named, desired: { ...empty, properties }, existing: previous });
  const resource: Resource = {
    ...named,
    ...desired,
    uid: 'u1',
    tenantUid: 't1',
    state,
    etag: 'e',
    createdAtMicros: 0,
    createdBy: author,
    changedAtMicros: 0,
    changedBy: author,
  };
  return { ...resource, properties: settleTaskRun(parts, { resource, previous, author }) };
}

test('a run as a resource shows no secret and runs with all of them', () => {
  const resource = write({ runRequest: request });
  assert.doesNotMatch(JSON.stringify(resource), /hunter/);
  assert.match(JSON.stringify(resource), /"red"/);
  assert.match(JSON.stringify(openRequest(parts, resource)), /hunter3.*hunter2/);
});

test('it is made again with another tag or request, or when it failed, and not otherwise', () => {
  const first = write({ runRequest: request, forceUpdateTag: '1' });
  const roundOf = ({ properties }: Resource) => properties.round;
  assert.deepEqual(write({ runRequest: request, forceUpdateTag: '1' }, first).properties, first.properties);
  assert.notEqual(roundOf(write({ runRequest: request, forceUpdateTag: '2' }, first)), roundOf(first));
  const other = mergeJson(request, { dockerFilePath: 'Other' });
  assert.notEqual(roundOf(write({ runRequest: other, forceUpdateTag: '1' }, first)), roundOf(first));
  const failed = { ...first, state: 'Failed' } as const;
  assert.notEqual(roundOf(write({ runRequest: request, forceUpdateTag: '1' }, failed)), roundOf(first));
});

test('a merge that leaves the request alone keeps its secrets', () => {
  const first = write({ runRequest: request, forceUpdateTag: '1' });
  const merged = write(mergeJson(first.properties, { forceUpdateTag: '2' }), first);
  assert.match(JSON.stringify(openRequest(parts, merged)), /hunter3.*hunter2/);
});

const byTask = { type: 'TaskRunRequest', taskId: '/x/tasks/a' };
for (const [what, requestFor] of [
  [
    'of a build',
    (address: string): JsonObject => ({ ...request, arguments: [], credentials: {}, sourceLocation: address }),
  ],
  ['of a task', (address: string): JsonObject => ({ ...byTask, overrideTaskStepProperties: { contextPath: address } })],
] as const)
  test(`a token in the address of the files ${what} is not shown, and stays for whoever writes back what was shown`, () => {
    const [whole, shown] = ['https://bob:s3cret@git.example/a.git#main', 'https://git.example/a.git#main'];
    const first = write({ runRequest: requestFor(whole) });
    assert.deepEqual(shownRequest(requestFor(whole)), requestFor(shown), 'of one that was stored as it was written');
    assert.doesNotMatch(JSON.stringify(first), /s3cret/);
    assert.ok(JSON.stringify(first.properties.runRequest).includes(shown));
    const { runRequest } = first.properties;
    const back = write(runRequest === undefined ? {} : { runRequest }, first);
    assert.deepEqual(back.properties, first.properties);
    assert.ok(JSON.stringify(openRequest(parts, back)).includes(whole));
    const elsewhere = write({ runRequest: requestFor('https://git.other/a.git#main') }, first);
    assert.doesNotMatch(JSON.stringify(openRequest(parts, elsewhere)), /s3cret/);
  });
