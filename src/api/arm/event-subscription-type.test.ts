import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { eventSubscriptionType } from '../../features/webhooks/event-subscription.ts';
import { sealProperties } from '../../features/webhooks/webhook-target.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { registryEventSubscriptionType } from './event-subscription-type.ts';

forEachDatabase((_, open) => {
  test('an endpoint that agreed before this was written down is not asked again for a label or a filter', async () => {
    const clock = new HeldClock();
    const database = await open();
    const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
    const outbound = createOutbound({ allow: [], hosts: new Map(), clock });
    const jobs = { add: async () => {} };
    const loginServerOf = (name: string) => `${name}.berth.test`;
    const { settle } = registryEventSubscriptionType({ database, sealer, ids, clock, outbound, jobs, loginServerOf });
    const author = { uid: 'olivia', name: 'Olivia', kind: 'User' } as const;
    const sealedFor = (serviceUri: string) => sealProperties({ sealer, ids }, 'uid', { serviceUri }, undefined);
    const previous = {
      ...{ id: '/registries/local/subscriptions/one', parentId: '/registries/local', subscriptionId: 's' },
      ...{ groupName: 'g', type: eventSubscriptionType, name: 'one', location: undefined, tags: {} },
      ...{ sku: undefined, identity: undefined, properties: sealedFor('https://hooks.example/a') },
      ...({ uid: 'uid', tenantUid: 't', state: 'Succeeded', etag: 'e' } as const),
      ...{ createdAtMicros: 1, createdBy: author, changedAtMicros: 1, changedBy: author },
    };
    const agreedOf = async (more: object, state: 'Succeeded' | 'Failed' = 'Succeeded') => {
      const resource = { ...previous, properties: { ...previous.properties, ...more } };
      const change = { resource, previous: { ...previous, state }, author };
      const settled = await database.transaction(async (tx) => await settle?.(tx, change));
      return settled?.properties?.agreed;
    };
    const agreed = await agreedOf({ labels: ['a'] });
    assert.match(`${agreed}`, /^[0-9a-f]{64}$/);
    assert.equal(await agreedOf({ eventDeliverySchema: 'CloudEventSchemaV1_0' }), agreed, 'of what it was');
    assert.equal(await agreedOf({ labels: ['a'] }, 'Failed'), undefined);
    await outbound.close();
  });
});
