import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { waitFor } from '../support/wait-for.ts';
import { type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';
import { useWorkbench } from './workbench.ts';

const registry = '/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local';
const toldSchema = z.looseObject({
  action: z.string(),
  target: z.looseObject({ repository: z.string(), tag: z.string().optional() }),
  request: z.looseObject({ method: z.string() }),
});

/** What is told beyond Azure's actions, each through what a client sends; `replicated` waits for regions. */
describe('the actions of webhooks that are ours', () => {
  const bench = useWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8' } });
  let receiver: WebhookReceiver;
  let arm: AzRest;
  before(async () => {
    receiver = await webhookReceiver();
    arm = await azRest(bench().server);
    await arm.done('PATCH', `${arm.subscription}${registry}`, {
      properties: { policies: { softDeletePolicy: { status: 'enabled', retentionDays: 7 } } },
    });
    await hook('ourhook', { actions: ['untag', 'restore', 'scan_completed', 'sign'] });
  });
  after(() => receiver.close());

  const hook = async (name: string, properties: object) =>
    await arm.done('PUT', `${arm.subscription}${registry}/webhooks/${name}`, {
      location: 'local',
      properties: { serviceUri: `${receiver.url}/${name}`, ...properties },
    });
  const toldOf = (repository: string, name = 'ourhook') =>
    receiver.received
      .filter(({ path }) => path === `/${name}`)
      .map(({ body }) => toldSchema.parse(JSON.parse(body)))
      .filter(({ target }) => target.repository === repository);
  const heard = async (repository: string, count: number, name = 'ourhook') =>
    await waitFor(`${count} of ${repository}`, 120_000, () => {
      const told = toldOf(repository, name);
      return told.length >= count ? told : undefined;
    });
  const send = async (method: string, path: string, body?: object) => {
    const answer = await asAdmin(bench().server, method, path, {
      ...(body && { body: Buffer.from(JSON.stringify(body)) }),
      headers: { 'content-type': 'application/json' },
    });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  };

  test('untag: a tag goes, its manifest stays', async () => {
    const sample = platformImage('untagged');
    await pushSample(bench().server, 'untagged', sample, 'v1', 'v2');
    await send('DELETE', '/v2/untagged/manifests/v1');
    const [told] = await heard('untagged', 1);
    assert.equal(told?.action, 'untag');
    assert.deepEqual(told.target, { digest: sample.image.digest, repository: 'untagged', tag: 'v1' });
  });

  test('restore: what was deleted softly is there again', async () => {
    const sample = platformImage('restored');
    const { digest } = sample.image;
    await pushSample(bench().server, 'restored', sample, 'v1');
    await send('DELETE', `/v2/restored/manifests/${digest}`);
    await send('POST', `/acr/v1/_deleted/restored/_manifests/${digest}`, { tag: 'v1' });
    const [told] = await heard('restored', 1);
    assert.deepEqual([told?.action, told?.request.method], ['restore', 'POST']);
    assert.partialDeepStrictEqual(told?.target, { digest, repository: 'restored', tag: 'v1' });
  });

  test('sign: a signature is attached, as a referrer or under the tag of cosign', async () => {
    const image = platformImage('signed');
    const { digest, bytes, mediaType } = image.image;
    await pushSample(bench().server, 'signed', image, 'v1');
    const subject = { mediaType, digest, size: bytes.byteLength };
    const artifactType = 'application/vnd.cncf.notary.signature';
    const signature = platformImage('signature of notation', { artifactType, subject });
    await pushSample(bench().server, 'signed', signature, signature.image.digest);
    const cosign = `${digest.replace(':', '-')}.sig`;
    await pushSample(bench().server, 'signed', platformImage('signature of cosign'), cosign);
    const told = await heard('signed', 2);
    assert.deepEqual(
      told.map(({ action, target }) => [action, target.tag ?? target.subject]),
      [
        ['sign', digest],
        ['sign', cosign],
      ],
    );
  });

  test('scan_completed: a scanner has said what it found, once for each word', async () => {
    const sample = platformImage('scanned');
    const { digest } = sample.image;
    await pushSample(bench().server, 'scanned', sample, 'v1');
    const says = async (body: object) => await send('PATCH', `/acr/v1/scanned/_manifests/${digest}`, body);
    const quarantineDetails = JSON.stringify({ scanner: 'trivy', state: 'Scan Succeeded' });
    // Not a result yet, no word at all, and the same word again.
    await says({ quarantineState: 'Quarantined' });
    await says({ writeEnabled: true, deleteEnabled: false });
    await says({ quarantineState: 'Failed', quarantineDetails });
    await says({ quarantineState: 'Failed', quarantineDetails });
    await says({ quarantineState: 'Passed' });
    const told = await heard('scanned', 2);
    assert.deepEqual(
      told.map(({ action, target: { repository, digest: at, quarantineState, quarantineDetails: details } }) => [
        action,
        repository,
        at,
        quarantineState,
        details,
      ]),
      [
        ['scan_completed', 'scanned', digest, 'Failed', quarantineDetails],
        ['scan_completed', 'scanned', digest, 'Passed', quarantineDetails],
      ],
    );
    assert.deepEqual([...new Set(told.map(({ request }) => request.method))], ['PATCH']);
  });
});
