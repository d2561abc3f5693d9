import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { waitFor } from '../support/wait-for.ts';
import { webhookReceiver } from '../support/webhook-receiver.ts';
import { useWorkbench } from './workbench.ts';

const configSchema = z.object({
  serviceUri: z.string(),
  customHeaders: z.record(z.string(), z.string()),
  signingKey: z.string().startsWith('whsec_'),
});

/** Webhooks as resources, by REST. Source: az wire document, 2.12. */
describe('webhooks as resources', () => {
  const bench = useWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8' } });
  let arm: AzRest;
  let group = '';
  before(async () => {
    arm = await azRest(bench().server);
    group = `${arm.subscription}/resourceGroups/hooks`;
    await arm.done('PUT', group, { location: 'local' });
    await arm.done('PUT', registry('basic1'), { location: 'local', sku: { name: 'Basic' } });
    await arm.done('PUT', registry('premium1'), { location: 'local', sku: { name: 'Premium' } });
  });

  const registry = (name: string) => `${group}/providers/Microsoft.ContainerRegistry/registries/${name}`;
  const hook = (name: string, at = 'premium1') => `${registry(at)}/webhooks/${name}`;
  const bodyOf = (more: object = {}) => ({
    location: 'local',
    properties: { serviceUri: 'https://ci.example/hook?code=s3cret', actions: ['push'], ...more },
  });
  const config = async (name: string) =>
    configSchema.parse(await (await arm.send('POST', `${hook(name)}/getCallbackConfig`)).json());

  test('a Basic registry has two, however many are asked for at once; more are told why not', async () => {
    const asked = Array.from({ length: 8 }, (_, index) => arm.send('PUT', hook(`hook${index}`, 'basic1'), bodyOf()));
    const answers = await Promise.all(asked);
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [201, 201, 409, 409, 409, 409, 409, 409]);
    const refused = answers.find(({ status }) => status === 409);
    assert.match((await refused?.text()) ?? '', /QuotaExceeded.*resource type webhooks for the registry SKU Basic/);
  });

  test('PUT says everything, PATCH what it names; the signing key stays', async () => {
    await arm.done('PUT', hook('keeper'), bodyOf({ customHeaders: { 'X-Key': 'k1' } }));
    const first = await config('keeper');
    assert.deepEqual(first.customHeaders, { 'X-Key': 'k1' });
    await arm.done('PATCH', hook('keeper'), { properties: { scope: 'app:*' } });
    assert.deepEqual(await config('keeper'), first);
    await arm.done('PUT', hook('keeper'), bodyOf());
    assert.deepEqual(await config('keeper'), { ...first, customHeaders: {} });
  });

  test('the same PUT twice changes nothing', async () => {
    const etagOf = async () => (await arm.send('PUT', hook('steady'), bodyOf())).headers.get('etag');
    assert.equal(await etagOf(), await etagOf());
  });

  test('neither the resource nor the audit shows address or headers', async () => {
    await arm.done('PUT', hook('secret'), bodyOf({ customHeaders: { Authorization: 'Bearer s3cret' } }));
    assert.doesNotMatch(await (await arm.send('GET', hook('secret'))).text(), /s3cret/);
    const { userName, password } = bench().server.bootstrap.owner;
    const authorization = `Basic ${Buffer.from(`${userName}:${password}`).toString('base64')}`;
    const exported = await waitFor('the audit', 60_000, async () => {
      const text = await (
        await fetch(`${bench().server.http}/admin/audit/export`, { headers: { authorization } })
      ).text();
      return text.includes('/webhooks/secret') ? text : undefined;
    });
    assert.doesNotMatch(exported, /s3cret|ci\.example/);
  });

  test('a change has a failing receiver tried at once', async () => {
    const good = await webhookReceiver();
    await arm.done('PUT', hook('moved'), bodyOf({ serviceUri: 'http://127.0.0.1:9/' }));
    await arm.done('POST', `${hook('moved')}/ping`);
    await arm.done('PATCH', hook('moved'), { properties: { serviceUri: good.url } });
    await arm.done('POST', `${hook('moved')}/ping`);
    await waitFor('the ping', 60_000, () => good.received.length > 0);
    await good.close();
  });

  test('deleting a registry deletes its webhooks', async () => {
    await arm.done('DELETE', registry('premium1'));
    await waitFor('the end', 60_000, async () => (await arm.send('GET', hook('keeper'))).status === 404);
  });
});
