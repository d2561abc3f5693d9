import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { pushTags } from '../faults/webhooks.ts';
import { type AzRest, azRest } from '../support/az-rest.ts';
import { startBerth } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Received, type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';
import { useWorkbench } from './workbench.ts';

const registry = '/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local';
const gridEvent = z.strictObject({
  id: z.guid(),
  topic: z.string().endsWith(registry),
  subject: z.string(),
  eventType: z.string(),
  eventTime: z.iso.datetime(),
  data: z.looseObject({ action: z.string(), target: z.looseObject({ repository: z.string() }) }),
  dataVersion: z.literal('1.0'),
  metadataVersion: z.literal('1'),
});
const cloudEvent = z.strictObject({
  specversion: z.literal('1.0'),
  id: z.guid(),
  source: z.string().endsWith(registry),
  type: z.string(),
  subject: z.string(),
  time: z.iso.datetime(),
  datacontenttype: z.literal('application/json'),
  data: z.looseObject({ action: z.string() }),
});
const shown = z.looseObject({
  properties: z.looseObject({ provisioningState: z.string(), destination: z.looseObject({}) }),
});

/** Source: ACR semantics, "Event Grid"; Event Grid and CloudEvents on their handshakes. */
describe('event subscriptions', () => {
  const bench = useWorkbench({ settings: { 'outbound-allow': '127.0.0.0/8' } });
  const receivers: WebhookReceiver[] = [];
  let arm: AzRest;
  before(async () => {
    arm = await azRest(bench().server);
  });
  after(async () => {
    for (const receiver of receivers) await receiver.close();
  });

  const receive: typeof webhookReceiver = async (...parts) => {
    const receiver = await webhookReceiver(...parts);
    receivers.push(receiver);
    return receiver;
  };
  const pathOf = (name: string) =>
    `${arm.subscription}${registry}/providers/Microsoft.EventGrid/eventSubscriptions/${name}`;
  const subscribe = async (name: string, endpointUrl: string, more: object = {}, batch: object = {}) => {
    const destination = { endpointType: 'WebHook', properties: { endpointUrl, ...batch } };
    await arm.done('PUT', pathOf(name), { properties: { destination, ...more } });
    return await waitFor('the end of the handshake', 120_000, async () => {
      const { properties } = shown.parse(await (await arm.send('GET', pathOf(name))).json());
      return /ing$/.test(properties.provisioningState) ? undefined : properties;
    });
  };
  const validating = async () =>
    await receive((received, response) => {
      if (received.headers['aeg-event-type'] !== 'SubscriptionValidation') return;
      const [event] = z
        .array(z.looseObject({ data: z.object({ validationCode: z.string() }) }))
        .parse(JSON.parse(received.body));
      response.end(JSON.stringify({ validationResponse: event?.data.validationCode }));
    });
  const allowing = async (origin = '*') =>
    await receive((received, response) => {
      if (received.method === 'OPTIONS') response.writeHead(200, { 'WebHook-Allowed-Origin': origin }).end();
    });
  const notified = (receiver: WebhookReceiver): readonly Received[] => receiver.received.slice(1);

  test('in the schema of Event Grid, after its handshake', async () => {
    const receiver = await validating();
    const more = { filter: { subjectBeginsWith: 'hooked:V' } };
    const { provisioningState, destination } = await subscribe('grid', `${receiver.url}/in?code=s3cret`, more);
    assert.equal(provisioningState, 'Succeeded');
    assert.doesNotMatch(JSON.stringify(destination), /s3cret/);
    const full = z.object({ endpointUrl: z.string() });
    const answer = await arm.send('POST', `${pathOf('grid')}/getFullUrl`);
    assert.equal(full.parse(await answer.json()).endpointUrl, `${receiver.url}/in?code=s3cret`);
    await pushTags(bench().server, ['v1', 'other', 'v2'], 1);
    await waitFor('both', 120_000, () => notified(receiver).length >= 2);
    const events = notified(receiver).map(({ body }) => z.tuple([gridEvent]).parse(JSON.parse(body))[0]);
    assert.deepEqual(
      events.map((each) => [each.eventType, each.subject, each.data.action]),
      [
        ['Microsoft.ContainerRegistry.ImagePushed', 'hooked:v1', 'push'],
        ['Microsoft.ContainerRegistry.ImagePushed', 'hooked:v2', 'push'],
      ],
    );
    assert.equal(notified(receiver)[0]?.headers['aeg-event-type'], 'Notification');
    assert.equal(notified(receiver)[0]?.path, '/in?code=s3cret');
  });

  test('as CloudEvents, one by one and in batches, after the OPTIONS handshake', async () => {
    const [single, batched] = [await allowing(), await allowing()];
    const more = { eventDeliverySchema: 'CloudEventSchemaV1_0' };
    await subscribe('cloud', single.url, more);
    await subscribe('batched', batched.url, more, { maxEventsPerBatch: 50 });
    assert.equal(single.received[0]?.headers['webhook-request-origin'], bench().named.host.split(':')[0]);
    await pushTags(bench().server, ['c1', 'c2', 'c3', 'c4']);
    await waitFor('each', 120_000, () => notified(single).length >= 4);
    for (const { body, headers } of notified(single)) {
      assert.equal(headers['content-type'], 'application/cloudevents+json; charset=utf-8');
      cloudEvent.parse(JSON.parse(body));
    }
    const inBatches = () =>
      notified(batched).flatMap(({ body }) => {
        const value: unknown = JSON.parse(body);
        return z.array(cloudEvent).parse(Array.isArray(value) ? value : [value]);
      });
    await waitFor('all in batches', 120_000, () => inBatches().length >= 4);
    assert.deepEqual(
      inBatches()
        .map(({ subject }) => subject)
        .sort(),
      ['hooked:c1', 'hooked:c2', 'hooked:c3', 'hooked:c4'],
    );
  });

  test('an endpoint that does not agree gets no events, and the request says why', async () => {
    const mistaken = await receive((_, response) => void response.end('{"validationResponse": "other"}'));
    const foreign = await allowing('elsewhere.example');
    const broken = await receive((_, response) => void response.writeHead(500).end());
    for (const [name, url, more, reason] of [
      ['mistaken', mistaken.url, {}, /validation code/],
      ['broken', broken.url, {}, /it answered 500/],
      ['foreign', foreign.url, { eventDeliverySchema: 'CloudEventSchemaV1_0' }, /WebHook-Allowed-Origin/],
    ] as const) {
      const destination = { endpointType: 'WebHook', properties: { endpointUrl: url } };
      const answer = await arm.send('PUT', pathOf(name), { properties: { destination, ...more } });
      assert.equal(answer.status, 201, await answer.clone().text());
      const status = answer.headers.get('azure-asyncoperation') ?? '';
      const operation = await waitFor('the end', 120_000, async () => {
        const text = await (await arm.send('GET', new URL(status).pathname + new URL(status).search)).text();
        return text.includes('InProgress') ? undefined : text;
      });
      assert.match(operation, reason);
    }
    await pushTags(bench().server, ['w1']);
    assert.deepEqual([mistaken.received.length, broken.received.length, foreign.received.length], [1, 1, 1]);
  });

  /** The address at which a receiver was told that it can agree later. */
  const validationUrlOf = ({ received: [asked] }: WebhookReceiver): URL => {
    const callback = asked?.headers['webhook-request-callback'];
    if (typeof callback === 'string') return new URL(callback);
    const questions = z.tuple([z.looseObject({ data: z.looseObject({ validationUrl: z.url() }) })]);
    return new URL(questions.parse(JSON.parse(asked?.body ?? ''))[0].data.validationUrl);
  };
  /** From here no name needs to resolve. */
  const visit = async (address: URL, method = 'GET') =>
    await fetch(`${bench().server.http}${address.pathname}${address.search}`, { method });
  const stateOf = async (name: string) =>
    shown.parse(await (await arm.send('GET', pathOf(name))).json()).properties.provisioningState;

  for (const [schema, method] of [
    ['EventGridSchema', 'GET'],
    ['CloudEventSchemaV1_0', 'POST'],
  ] as const)
    test(`an endpoint that takes the question and no more agrees later, by hand: ${schema}`, async () => {
      const name = `by-hand-${schema.slice(0, 5)}`;
      const receiver = await receive();
      const { provisioningState } = await subscribe(name, receiver.url, { eventDeliverySchema: schema });
      assert.equal(provisioningState, 'AwaitingManualAction');
      await pushTags(bench().server, ['waits']);
      const address = validationUrlOf(receiver);
      assert.equal(address.host, bench().named.host);
      const wrong = new URL(address);
      wrong.searchParams.set('token', `${address.searchParams.get('token')}A`.slice(1));
      for (const refused of [await visit(wrong), await visit(new URL('?id=a', address))]) {
        assert.equal(refused.status, 404);
        assert.match(await refused.text(), /good for ten minutes/);
      }
      assert.equal((await visit(address, 'HEAD')).status, 200);
      assert.equal(await stateOf(name), 'AwaitingManualAction');
      assert.equal(receiver.received.length, 1);
      for (let again = 0; again < 2; again += 1) assert.equal((await visit(address, method)).status, 200);
      assert.equal(await stateOf(name), 'Succeeded');
      await waitFor('what happened meanwhile', 120_000, () => notified(receiver).length > 0);
      assert.match(notified(receiver)[0]?.body ?? '', /hooked:waits/);
      await arm.done('DELETE', pathOf(name));
      assert.equal((await visit(address, method)).status, 404);
    });

  test('an endpoint that asks for the address at once is validated as soon as its answer is there', async () => {
    const answers: Promise<Response>[] = [];
    const eager: WebhookReceiver = await receive((_, response) => {
      answers.push(visit(validationUrlOf(eager)));
      response.end();
    });
    const { provisioningState } = await subscribe('eager', eager.url);
    assert.equal((await answers[0])?.status, 200);
    assert.match(provisioningState, /^(AwaitingManualAction|Succeeded)$/);
    assert.equal(await stateOf('eager'), 'Succeeded');
  });

  test('one request waits for the answer to the question; the others are early, and nobody minds who goes', async () => {
    const answer = Promise.withResolvers<void>();
    const slow = await receive(async () => await answer.promise);
    const subscribed = subscribe('slow', slow.url);
    await waitFor('the question', 120_000, () => slow.received.length > 0);
    const address = validationUrlOf(slow);
    const gone = new AbortController();
    const statuses: number[] = [];
    const asked = [1, 2, 3].map(async () => {
      const { http } = bench().server;
      const { status } = await fetch(`${http}${address.pathname}${address.search}`, { signal: gone.signal });
      statuses.push(status);
      // At once: the one that waits does so for some seconds.
      if (statuses.length === 2) gone.abort();
    });
    await Promise.allSettled(asked);
    assert.deepEqual(statuses, [409, 409]);
    assert.equal((await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected').length, 1);
    answer.resolve();
    await subscribed;
    assert.equal((await visit(address)).status, 200);
    assert.equal(await stateOf('slow'), 'Succeeded');
    assert.doesNotMatch(bench().server.log(), /request failed.*eventsubscriptions/);
  });

  test('a PATCH as az sends it changes what it names, and says 201; headers go to no other host unsaid', async () => {
    const receiver = await validating();
    const mapped = { name: 'x-key', type: 'Static', properties: { value: 's3cret', isSecret: true } };
    await subscribe('patched', `${receiver.url}/one`, {}, { deliveryAttributeMappings: [mapped] });
    const filter = { subjectBeginsWith: 'hooked:p' };
    const patch = async (body: object) => await arm.send('PATCH', pathOf('patched'), body);
    const changed = await patch({ filter, labels: ['a'] });
    assert.equal(changed.status, 201);
    assert.partialDeepStrictEqual(await changed.json(), { properties: { filter, labels: ['a'] } });
    const destination = (endpointUrl: string) => ({ endpointType: 'WebHook', properties: { endpointUrl } });
    assert.equal((await patch({ destination: destination(`${receiver.url}/two`) })).status, 201);
    const other = await patch({ destination: destination('http://127.0.0.2:9/') });
    assert.equal(other.status, 400);
    assert.match(await other.text(), /custom headers.*--delivery-attribute-mapping/);
    const told = () => receiver.received.filter(({ path, body }) => path === '/two' && body.includes('ImagePushed'));
    await pushTags(bench().server, ['q1', 'p1']);
    await waitFor('what the filter lets through', 120_000, () => told().length > 0);
    assert.deepEqual(
      told().map(({ headers }) => headers['x-key']),
      ['s3cret'],
    );
  });

  test('what is wrong is refused, and deleting ends it', async () => {
    const refused = async (properties: object, message: RegExp, path = pathOf('wrong')) => {
      const answer = await arm.send('PUT', path, { properties });
      assert.equal(answer.status, 400);
      assert.match(await answer.text(), message);
    };
    const destination = { endpointType: 'WebHook', properties: { endpointUrl: 'https://a.example' } };
    await refused({}, /destination/);
    await refused({ destination: { endpointType: 'EventHub', properties: {} } }, /endpointType/);
    await refused({ destination, filter: { includedEventTypes: ['Nope'] } }, /Nope/);
    await refused({ destination, filter: { advancedFilters: [{}] } }, /advanced filters/);
    const onGroup = `${arm.subscription}/resourceGroups/berth/providers/Microsoft.EventGrid/eventSubscriptions/wrong`;
    await refused({ destination }, /belong to registries/, onGroup);
    await arm.done('DELETE', pathOf('cloud'));
    assert.equal((await arm.send('GET', pathOf('cloud'))).status, 404);
  });
});

test('where nobody serves HTTPS, the address at which an endpoint agrees later is one of HTTP', async (t) => {
  await using server = await startBerth({ settings: { https: 'none', 'outbound-allow': '127.0.0.0/8' } });
  const receiver = await webhookReceiver();
  t.after(() => receiver.close());
  const arm = await azRest(server);
  const path = `${arm.subscription}${registry}/providers/Microsoft.EventGrid/eventSubscriptions/plain`;
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: receiver.url } };
  await arm.done('PUT', path, { properties: { destination } });
  await waitFor('the question', 120_000, () => receiver.received.length > 0);
  assert.match(
    receiver.received[0]?.body ?? '',
    new RegExp(`"validationUrl":"http://local\\.[^/]*:${server.ports.http}/eventsubscriptions/plain/validate`),
  );
});
