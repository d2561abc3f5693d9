import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { webhookReceiver } from '../../../test/support/webhook-receiver.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock as clock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { DeliveryPace } from './delivery-pace.ts';
import { resend } from './delivery-resend.ts';
import { listDeliveries, noteDeliveries } from './delivery-store.ts';
import { WebhookDeliveries } from './webhook-deliveries.ts';
import { holdWebhook, removeWebhook, writeWebhook } from './webhook-store.ts';
import { sealTarget } from './webhook-target.ts';

const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const job: JobRun = { payload: {}, attempt: 1, signal: new AbortController().signal, renew: async () => {} };
const letters = 200;

forEachDatabase((_, open) => {
  let database: Database;
  let deliveries: WebhookDeliveries;
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock });
  const sending = () => ({ database, clock, sealer, outbound, pace: new DeliveryPace({ clock, answered: () => 0 }) });

  before(async () => {
    database = await open();
    deliveries = new WebhookDeliveries({ database, clock, ids, jobs: { add: async () => {} } });
  });
  after(() => outbound.close());

  /** A webhook with dead letters, named 0, 1, 2, ... in the order in which they died. */
  const hookWithLetters = async (serviceUri: string) => {
    const uid = ids.uid();
    const target = { serviceUri, customHeaders: {}, signingKey: 'c2VjcmV0' };
    const payload = { contentType: 'application/json', headers: {} };
    await database.transaction(async (tx) => {
      await writeWebhook(tx, {
        uid,
        registryUid: 'registry',
        form: 'acr',
        isEnabled: true,
        filter: { scope: '', actions: ['push'] },
        sealedTarget: Buffer.from(sealTarget({ sealer, ids }, uid, target), 'base64'),
        nowMicros: clock.nowMicros(),
      });
      const dead = Array.from({ length: letters }, (_, index) => ({
        webhookUid: uid,
        eventId: ids.guid(),
        state: 'dead' as const,
        occurredAtMicros: index + 1,
        attempts: 1,
        triedAtMicros: index + 1,
        payload: { ...payload, body: String(index) },
        outcome: undefined,
      }));
      await noteDeliveries(tx, dead);
    });
    return uid;
  };

  test('dead letters are sent again in their order, and a ping that comes meanwhile does not wait for all of them', async () => {
    await using stack = new AsyncDisposableStack();
    let pinged: Promise<string> | undefined;
    const receiver = await webhookReceiver(async () => {
      pinged ??= deliveries.ping(uid);
      await pinged;
    });
    stack.defer(() => receiver.close());
    const uid = await hookWithLetters(receiver.url);
    assert.equal(await deliveries.replay(uid, undefined), letters);
    await resend(sending(), uid, job);
    const ping = await pinged;
    assert.ok(ping !== undefined);
    const bodies = receiver.received.map(({ body }) => body);
    const at = bodies.findIndex((body) => body.includes(ping));
    assert.ok(at > 0 && at < letters, String(at));
    assert.deepEqual(
      bodies.toSpliced(at, 1),
      Array.from({ length: letters }, (_, index) => String(index)),
    );
    const list = await listDeliveries(database.read, uid, 1_000);
    assert.equal(list.filter(({ state }) => state === 'delivered').length, letters + 1);
  });

  test('what fails again is a dead letter again, and the others are still tried', async () => {
    await using stack = new AsyncDisposableStack();
    const receiver = await webhookReceiver(({ body }, response) => {
      if (Number(body) % 2 === 1) response.writeHead(500).end();
    });
    stack.defer(() => receiver.close());
    const uid = await hookWithLetters(receiver.url);
    await deliveries.replay(uid, undefined);
    await resend(sending(), uid, job);
    assert.equal(receiver.received.length, letters);
    const list = await listDeliveries(database.read, uid, 1_000);
    assert.equal(list.filter(({ state }) => state === 'dead').length, letters / 2);
  });

  test('of a webhook that is removed meanwhile nothing is left', async () => {
    await using stack = new AsyncDisposableStack();
    const receiver = await webhookReceiver(async ({ body }) => {
      if (body === '3') await database.transaction((tx) => removeWebhook(tx, uid));
    });
    stack.defer(() => receiver.close());
    const uid = await hookWithLetters(receiver.url);
    await deliveries.replay(uid, undefined);
    await resend(sending(), uid, job);
    assert.equal(receiver.received.length, 4);
    assert.deepEqual(await listDeliveries(database.read, uid, 1_000), []);
  });

  test('nothing is left either of what is being written as a webhook is removed', async () => {
    const uid = await hookWithLetters('http://127.0.0.1:9/');
    const [held, written] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const writing = database.transaction(async (tx) => {
      assert.ok(await holdWebhook(database.kind, tx, uid));
      held.resolve();
      await written.promise;
      const [delivery] = await listDeliveries(tx, uid, 1);
      assert.ok(delivery !== undefined);
      await noteDeliveries(tx, [{ ...delivery, eventId: 'later' }]);
    });
    await held.promise;
    const removing = database.transaction((tx) => removeWebhook(tx, uid));
    await sleep(200);
    written.resolve();
    await Promise.all([writing, removing]);
    assert.deepEqual(await listDeliveries(database.read, uid, 1_000), []);
  });
});
