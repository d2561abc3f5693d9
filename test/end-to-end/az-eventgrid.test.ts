import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { makeWebhooks, pushTags } from '../faults/webhooks.ts';
import { newestAz, newestAzVersion } from '../support/az-newest.ts';
import { azSetUp } from '../support/az-set-up.ts';
import { waitFor } from '../support/wait-for.ts';
import { type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';
import { useWorkbench } from './workbench.ts';

const shown = z.looseObject({
  name: z.literal('ci-events'),
  provisioningState: z.literal('Succeeded'),
  eventDeliverySchema: z.literal('EventGridSchema'),
  destination: z.looseObject({ endpointType: z.literal('WebHook'), endpointBaseUrl: z.string() }),
  filter: z.looseObject({ includedEventTypes: z.array(z.string()), subjectBeginsWith: z.string() }),
});
const validation = z.tuple([
  z.looseObject({
    eventType: z.literal('Microsoft.EventGrid.SubscriptionValidationEvent'),
    data: z.looseObject({ validationCode: z.string() }),
  }),
]);
const notification = z.tuple([z.looseObject({ eventType: z.string(), subject: z.string() })]);

/** What tutorials type. The command of Debian's 2.45 is broken in its package: it cannot be imported. */
describe(`az ${newestAzVersion}: event subscriptions`, () => {
  const bench = useWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8' } });
  const environment: Record<string, string> = { AZURE_CORE_COLLECT_TELEMETRY: 'no', AZURE_CORE_NO_COLOR: 'true' };
  let receiver: WebhookReceiver;

  const type = async (line: string) => await bench().run('sh', ['-euc', line], { env: environment });
  const command = async (verb: string, more = '') =>
    await type(
      `az eventgrid event-subscription ${verb} --source-resource-id "$(az acr show -n local --query id -o tsv)" ${more} -o json`,
    );

  before(async () => {
    const { server, folder } = bench();
    environment.PATH = `${await newestAz()}:${process.env.PATH}`;
    environment.AZURE_CONFIG_DIR = join(folder, 'az');
    environment.REQUESTS_CA_BUNDLE = (await type(azSetUp(server))).trim();
    receiver = await webhookReceiver(({ body }, response) => {
      const asked = validation.safeParse(JSON.parse(body)).data;
      if (asked === undefined) return;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ validationResponse: asked[0].data.validationCode }));
    });
  });
  after(() => receiver.close());

  /** A webhook that hears of all pushes: when it does, every other has been looked at too. */
  const hookOnAll = async () => {
    const { received, url, close } = await webhookReceiver();
    await makeWebhooks(bench().server, [url]);
    return { received, [Symbol.asyncDispose]: close };
  };

  /** Subjects that were told, without the question whether the receiver agrees. */
  const subjects = () =>
    receiver.received.flatMap(({ body }) => {
      const [told] = notification.parse(JSON.parse(body));
      return told.eventType === 'Microsoft.ContainerRegistry.ImagePushed' ? [told.subject] : [];
    });

  test('it is created, asks the endpoint, and tells of pushes', async () => {
    const made = await command(
      'create -n ci-events',
      `--endpoint ${receiver.url}/events --included-event-types Microsoft.ContainerRegistry.ImagePushed`,
    );
    const { filter } = shown.parse(JSON.parse(made));
    assert.deepEqual(filter.includedEventTypes, ['Microsoft.ContainerRegistry.ImagePushed']);
    await pushTags(bench().server, ['v1']);
    await waitFor('the push', 120_000, () => subjects().includes('hooked:v1'));
  });

  test('it is shown, with its address where that is asked for, and listed', async () => {
    const one = shown.parse(JSON.parse(await command('show -n ci-events', '--include-full-endpoint-url true')));
    assert.equal(one.destination.endpointUrl, `${receiver.url}/events`);
    assert.deepEqual(JSON.parse(await command('list', '--query [].name')), ['ci-events']);
  });

  test('it is updated, and tells of what it names now', async () => {
    const update = async (start: string) =>
      shown.parse(JSON.parse(await command('update -n ci-events', `--subject-begins-with ${start}`))).filter
        .subjectBeginsWith;
    assert.equal(await update('other/'), 'other/');
    await using other = await hookOnAll();
    await pushTags(bench().server, ['v2']);
    // What waits when a subscription is changed is told as it says then.
    await waitFor('the push elsewhere', 120_000, () => other.received.length > 0);
    assert.equal(await update('hooked'), 'hooked');
    const { filter } = shown.parse(JSON.parse(await command('show -n ci-events')));
    assert.equal(filter.subjectBeginsWith, 'hooked');
    await pushTags(bench().server, ['v3']);
    await waitFor('the push', 120_000, () => subjects().includes('hooked:v3'));
    assert.ok(!subjects().includes('hooked:v2'));
  });

  test('an endpoint that only takes the question is waited for, until somebody asks for the address that it was sent', async () => {
    const silent = await webhookReceiver();
    const stateOf = (printed: string) =>
      z.looseObject({ provisioningState: z.string() }).parse(JSON.parse(printed)).provisioningState;
    try {
      const made = await command('create -n by-hand', `--endpoint ${silent.url}`);
      assert.equal(stateOf(made), 'AwaitingManualAction');
      assert.equal(stateOf(await command('show -n by-hand')), 'AwaitingManualAction');
      const [asked] = validation.parse(JSON.parse(silent.received[0]?.body ?? ''));
      const validationUrl = z.url().parse(asked.data.validationUrl);
      await type(`curl --silent --show-error --fail --cacert '${bench().server.caPath}' '${validationUrl}'`);
      assert.equal(stateOf(await command('show -n by-hand')), 'Succeeded');
      await command('delete -n by-hand');
    } finally {
      await silent.close();
    }
  });

  test('it is deleted', async () => {
    await command('delete -n ci-events');
    assert.deepEqual(JSON.parse(await command('list', '--query [].name')), []);
  });
});
