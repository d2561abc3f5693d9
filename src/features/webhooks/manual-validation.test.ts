import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess } from '../../../test/support/sample-access.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { BerthError } from '../../core/errors.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJobs } from '../../platform/jobs/create-jobs.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { tenantStreamOf } from '../../platform/journal/journal.ts';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { Resource } from '../resources/resource.ts';
import { findByUid, insertResource, updateResource } from '../resources/resource-store.ts';
import { firstSubscription } from '../resources/subscription-store.ts';
import { eventSubscriptionType } from './event-subscription.ts';
import { createValidateByHand, validationToken } from './manual-validation.ts';
import { agreementOf, manualValidationMs, subscriptionState, writeReceiver } from './subscription-agreement.ts';
import { deliverJob, findWebhook } from './webhook-store.ts';
import { sealTarget } from './webhook-target.ts';

const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const author = { uid: 'olivia', name: 'Olivia', kind: 'User' } as const;

forEachDatabase((_, open) => {
  /** A subscription whose endpoint took the question; `changed` is how it stands otherwise. Waits take no time unless `isHeld`. */
  async function waiting(changed: Partial<Resource> = {}, { isHeld = false } = {}) {
    const database = await open();
    const { tenantUid, registryUid } = await sampleAccess(database);
    const held = new HeldClock();
    const clock = {
      nowMicros: held.nowMicros,
      monotonicMs: held.monotonicMs,
      sleep: isHeld ? held.sleep : async (ms: number) => held.advance(ms),
    };
    const journal = createJournal({ database, clock: systemClock, ids });
    const jobs = createJobs({ database, clock: systemClock, ids, log });
    const uid = ids.uid();
    const target = { serviceUri: 'http://127.0.0.1:9/', customHeaders: {}, signingKey: 'c2VjcmV0' };
    const made = { subscriptionId: ids.guid(), nowMicros: 0 };
    const subscriptionId = await database.transaction((tx) => firstSubscription(tx, tenantUid, made));
    const parentId = '/subscriptions/s/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/contoso';
    const untilMicros = held.nowMicros() + manualValidationMs * 1_000;
    const resource: Resource = {
      ...{ id: `${parentId}/providers/${eventSubscriptionType}/by-hand`, parentId, type: eventSubscriptionType },
      ...{ subscriptionId, groupName: 'berth', name: 'by-hand', uid, tenantUid, etag: ids.guid() },
      ...{ location: undefined, tags: {}, sku: undefined, identity: undefined },
      state: 'Succeeded',
      ...{ createdAtMicros: 0, createdBy: author, changedAtMicros: 0, changedBy: author },
      properties: {
        destination: { properties: { maxEventsPerBatch: 1, preferredBatchSizeInKilobytes: 64 } },
        filter: { subjectBeginsWith: '', subjectEndsWith: '', isSubjectCaseSensitive: false, includedEventTypes: [] },
        eventDeliverySchema: 'EventGridSchema',
        sealed: sealTarget({ sealer, ids }, uid, target),
        awaitingUntilMicros: untilMicros,
      },
      ...changed,
    };
    await database.transaction(async (tx) => {
      await insertResource(tx, resource);
      await writeReceiver(tx, resource, { registryUid, isEnabled: false });
    });
    const parts = { database, journal, clock, ids, sealer, jobs };
    const validate = createValidateByHand(parts);
    return {
      database,
      journal,
      tenantUid,
      held,
      resource,
      token: validationToken(parts, resource, untilMicros),
      validate: async (token: string, id = uid, gone = new AbortController().signal) =>
        await validate({ uid: id, token }, gone),
      read: async () => (await findByUid(database.read, uid)) ?? assert.fail(),
      change: async (next: Resource) => await database.transaction((tx) => updateResource(tx, next)),
    };
  }
  const refusal = (error: string) => (thrown: unknown) => thrown instanceof BerthError && thrown.error === error;
  const unknown = refusal('eventValidationUnknown');
  const early = refusal('eventValidationEarly');

  test('whoever asks for the address in time agrees: deliveries begin, and an event says so', async () => {
    const { database, journal, tenantUid, resource, token, validate, read, held } = await waiting();
    assert.equal(subscriptionState(resource, held.nowMicros()), 'AwaitingManualAction');
    await validate(token);
    const agreed = await read();
    assert.deepEqual(
      [agreed.properties.agreed, agreed.properties.awaitingUntilMicros, agreed.etag === resource.etag],
      [agreementOf(resource), undefined, false],
    );
    held.advance(2 * manualValidationMs);
    assert.equal(subscriptionState(agreed, held.nowMicros()), 'Succeeded');
    assert.equal((await findWebhook(database.read, resource.uid))?.is_enabled, 1);
    const jobs = await database.read.selectFrom('jobs').select('key').where('kind', '=', deliverJob).execute();
    assert.deepEqual(jobs, [{ key: resource.uid }]);
    const events = await journal.after(await journal.start(tenantStreamOf(tenantUid)), 500);
    assert.deepEqual([events.at(-1)?.type, events.at(-1)?.data.uid], ['resource.updated', resource.uid]);
    // Also when nobody waits any longer.
    await validate(token);
    assert.equal((await read()).etag, agreed.etag);
  });

  test('when the time is over it has failed, and nobody can agree', async () => {
    const { resource, token, validate, held, database } = await waiting();
    held.advance(manualValidationMs);
    assert.equal(subscriptionState(resource, held.nowMicros()), 'Failed');
    await assert.rejects(validate(token), unknown);
    assert.equal((await findWebhook(database.read, resource.uid))?.is_enabled, 0);
  });

  test('a token is good for its own subscription, endpoint and time alone', async () => {
    const { resource, token, validate, change } = await waiting();
    const other = await waiting();
    for (const wrong of ['', 'AAAA', token.slice(0, -4), `${token}!`.slice(1), other.token])
      await assert.rejects(validate(wrong), unknown, wrong);
    await assert.rejects(validate(token, other.resource.uid), unknown);
    await assert.rejects(validate(token, 'x'.repeat(1_000)), unknown);
    // PostgreSQL cannot even look for that one.
    await assert.rejects(validate(token, '\u0000'), unknown);
    await change({ ...resource, properties: { ...resource.properties, eventDeliverySchema: 'CloudEventSchemaV1_0' } });
    await assert.rejects(validate(token), unknown);
  });

  test('an endpoint that refused, or whose subscription is being deleted, cannot agree any more', async () => {
    for (const state of ['Failed', 'Deleting'] as const) {
      const { resource, token, validate, change } = await waiting();
      const { awaitingUntilMicros: __, ...properties } = resource.properties;
      await change({ ...resource, state, properties: state === 'Failed' ? properties : resource.properties });
      await assert.rejects(validate(token), unknown);
    }
  });

  test('before the question is answered the address says so, after some patience', async () => {
    const { token, validate, held } = await waiting({ state: 'Creating' });
    const before = held.monotonicMs();
    await assert.rejects(validate(token), early);
    assert(held.monotonicMs() - before >= 5_000);
  });

  test('many who ask at once agree once', async () => {
    const { token, validate, journal, tenantUid } = await waiting();
    await Promise.all([validate(token), validate(token), validate(token), validate(token)]);
    const events = await journal.after(await journal.start(tenantStreamOf(tenantUid)), 500);
    assert.equal(events.filter(({ type }) => type === 'resource.updated').length, 1);
  });

  test('one request waits for a subscription; the others hear at once that it is early', async () => {
    const { resource, token, validate, change, read, held } = await waiting({ state: 'Creating' }, { isHeld: true });
    const refusals: unknown[] = [];
    const asked = [1, 2, 3].map(async () => {
      await validate(token).catch((error: unknown) => refusals.push(error));
    });
    await waitFor('the answers of the others', 30_000, () => refusals.length === 2);
    assert(refusals.every(early));
    await change({ ...resource, state: 'Succeeded' });
    held.advance(100);
    await Promise.all(asked);
    assert.equal(refusals.length, 2);
    assert.equal((await read()).properties.agreed, agreementOf(resource));
  });

  test('whoever goes waits no longer, and leaves the place to the next', async () => {
    const { resource, token, validate } = await waiting({ state: 'Creating' }, { isHeld: true });
    for (const name of ['first', 'second']) {
      const gone = new AbortController();
      const asked = validate(token, resource.uid, gone.signal);
      gone.abort(new Error(`the ${name} has gone`));
      await assert.rejects(asked, { message: `the ${name} has gone` });
    }
  });
});
