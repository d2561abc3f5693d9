import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { azRest } from '../support/az-rest.ts';
import { waitFor } from '../support/wait-for.ts';
import { type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';
import { goClient } from './client.ts';
import { useWorkbench } from './workbench.ts';

const hook = '/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local/webhooks/charts';
const toldSchema = z.looseObject({ action: z.string(), target: z.record(z.string(), z.unknown()) });

describe('webhooks of charts', () => {
  const bench = useWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8' } });
  const helm = goClient(bench, 'helm');
  let receiver: WebhookReceiver;
  before(async () => {
    receiver = await webhookReceiver();
    const arm = await azRest(bench().server);
    await arm.done('PUT', `${arm.subscription}${hook}`, {
      location: 'local',
      properties: { serviceUri: receiver.url, actions: ['push', 'delete', 'chart_push', 'chart_delete'] },
    });
  });
  after(() => receiver.close());

  const toldUntil = async (last: string) =>
    await waitFor(last, 120_000, () => {
      const all = receiver.received.map(({ body }) => toldSchema.parse(JSON.parse(body)));
      return all.some(({ action }) => action === last) ? all : undefined;
    });

  test('a chart is told once as it comes and as it goes, with its name and version, beside what is told of its manifest', async () => {
    const { host } = bench().http;
    const { username, password } = bench();
    await helm.run(['registry', 'login', host, '--plain-http', '-u', username, '--password-stdin'], {
      input: password,
    });
    await helm.run(['create', 'shop']);
    await helm.run(['package', 'shop', '--version', '1.2.0+build.5']);
    await helm.run(['push', 'shop-1.2.0+build.5.tgz', `oci://${host}/charts`, '--plain-http']);
    const stored = await bench().manifest('charts/shop', '1.2.0_build.5');
    const told = await toldUntil('chart_push');
    assert.deepEqual(
      told.map(({ action }) => action),
      ['push', 'push', 'chart_push'],
    );
    const [, push, chart] = told;
    const size = Buffer.byteLength(stored?.text ?? '');
    const place = { digest: stored?.digest, repository: 'charts/shop', tag: '1.2.0_build.5', size };
    assert.deepEqual(push?.target, { ...place, mediaType: stored?.mediaType, length: size });
    const mediaType = 'application/vnd.acr.helm.chart';
    assert.deepEqual(chart?.target, { ...place, mediaType, name: 'shop', version: '1.2.0+build.5' });
    assert.equal(chart?.request, undefined);
    assert.equal((await bench().request('DELETE', `/v2/charts/shop/manifests/${stored?.digest}`)).status, 202);
    const [deleted, chartDeleted] = (await toldUntil('chart_delete')).slice(told.length);
    assert.equal(deleted?.action, 'delete');
    assert.partialDeepStrictEqual(chartDeleted?.target, { mediaType, name: 'shop', version: '1.2.0+build.5' });
  });
});
