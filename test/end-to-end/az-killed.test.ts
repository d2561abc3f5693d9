import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { startBerth } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';

const registries = 'providers/Microsoft.ContainerRegistry/registries';
const premium = { location: 'local', sku: { name: 'Premium' } };
const count = 60;
/** More than a quick machine makes between two looks at it. */
const deployedCount = 200;
/** Longer than the leases of the killed server. */
const untilDoneMs = 180_000;

const deploymentSchema = z.object({ properties: z.looseObject({ provisioningState: z.string() }) });
const operationsSchema = z.object({ value: z.array(z.unknown()) });
const namesSchema = z.object({
  value: z.array(z.object({ name: z.string(), properties: z.looseObject({ provisioningState: z.string() }) })),
});

const template = {
  $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
  contentVersion: '1.0.0.0',
  resources: [
    {
      type: 'Microsoft.ContainerRegistry/registries',
      apiVersion: '2023-07-01',
      name: "[format('deployed{0}', copyIndex())]",
      copy: { name: 'each', count: deployedCount },
      ...premium,
    },
  ],
};

async function json<T>(rest: AzRest, path: string, schema: z.ZodType<T>): Promise<T> {
  const answer = await rest.send('GET', path);
  assert.equal(answer.status, 200, await answer.clone().text());
  return schema.parse(await answer.json());
}

test('a server killed while it deploys, deletes a group and deletes a registry does the rest after its next start', async () => {
  const first = await startBerth();
  const rest = await azRest(first);
  const groups = ['deploying', 'leaving', 'staying'].map((name) => `${rest.subscription}/resourceGroups/${name}`);
  const [deploying = '', leaving = '', staying = ''] = groups;
  for (const group of groups) await rest.done('PUT', group, { location: 'local' });
  for (let index = 0; index < count; index++)
    await rest.done('PUT', `${leaving}/${registries}/leaving${index}`, premium);
  for (const name of ['goneone', 'keptone']) await rest.done('PUT', `${staying}/${registries}/${name}`, premium);

  const deployment = `${deploying}/providers/Microsoft.Resources/deployments/all`;
  const operation = await rest.send('PUT', deployment, { properties: { mode: 'Incremental', template } });
  assert.equal(operation.status, 201);
  const deletion = await rest.send('DELETE', leaving);
  assert.equal(deletion.status, 202);
  assert.equal((await rest.send('DELETE', `${staying}/${registries}/goneone`)).status, 202);
  await waitFor('the middle of the deployment', 60_000, async () => {
    const { value } = await json(rest, `${deployment}/operations`, operationsSchema);
    return value.length > 0;
  });
  await first.kill();

  await using second = await startBerth(first.again);
  const after = await azRest(second);
  const { properties } = await json(after, deployment, deploymentSchema);
  assert.equal(properties.provisioningState, 'Running', 'it was killed in the middle');
  await waitFor('the deployment ends', untilDoneMs, async () => {
    const { properties: now } = await json(after, deployment, deploymentSchema);
    assert.notEqual(now.provisioningState, 'Failed');
    return now.provisioningState === 'Succeeded';
  });
  const deployed = await json(after, `${deploying}/${registries}`, namesSchema);
  assert.equal(deployed.value.length, deployedCount);
  await waitFor('the group is gone', untilDoneMs, async () => (await after.send('GET', leaving)).status === 404);
  const status = new URL(deletion.headers.get('azure-asyncoperation') ?? '');
  const ended = await json(after, `${status.pathname}${status.search}`, z.looseObject({ status: z.string() }));
  assert.equal(ended.status, 'Succeeded');
  await waitFor('the registry is gone', untilDoneMs, async () => {
    return (await after.send('GET', `${staying}/${registries}/goneone`)).status === 404;
  });
  const { value } = await json(after, `${staying}/${registries}`, namesSchema);
  assert.deepEqual(
    value.map(({ name }) => name),
    ['keptone'],
  );
  // The names are free again.
  await after.done('PUT', `${staying}/${registries}/leaving0`, premium);
});
