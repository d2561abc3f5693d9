import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleTenant, sampleTenant } from '../../../test/support/sample-tenant.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { listManagedIdentities } from '../identity/managed-identities.ts';
import { objectIdOf } from '../identity/object-id.ts';
import type { Resource } from '../resources/resource.ts';
import { registryType } from './registry.ts';
import { changeRegistryIdentity, forgetRegistryIdentity, settleRegistryIdentity } from './registry-identity.ts';

const [first, second] = [ids.uid(), ids.uid()];
const author = { uid: 'owner', name: 'Olivia', kind: 'User' } as const;

forEachDatabase((_, open) => {
  let database: Database;
  let tenant: SampleTenant;
  before(async () => {
    database = await open();
    tenant = await sampleTenant(database, new HeldClock());
  });

  function registry(uid: string | undefined): Resource {
    return {
      ...{ id: '/subscriptions/s/contoso', parentId: '/subscriptions/s', subscriptionId: 's', groupName: 'demo' },
      ...{ type: registryType, name: 'contoso', location: 'eastus', tags: {}, sku: { name: 'Basic' }, properties: {} },
      ...{ uid: 'registry', tenantUid: tenant.tenantUid, state: 'Succeeded', etag: 'e' },
      identity: uid === undefined ? undefined : { type: 'SystemAssigned', principalId: objectIdOf(uid) },
      ...{ createdAtMicros: 0, createdBy: author, changedAtMicros: 0, changedBy: author },
    };
  }
  const change = async (to: string | undefined, from: string | undefined) =>
    await tenant.journal.transaction((tx, append) =>
      changeRegistryIdentity({ ids }, { tx, append }, { resource: registry(to), previous: registry(from) }),
    );
  const shown = async () =>
    (await listManagedIdentities(database.read, tenant.tenantUid)).map(({ uid, name, kind }) => [uid, name, kind]);

  test('the own identity of a registry is there from its assignment to its removal', async () => {
    await change(first, undefined);
    assert.deepEqual(await shown(), [[first, 'contoso', 'systemAssigned']]);
    await change(first, first);
    assert.deepEqual(await shown(), [[first, 'contoso', 'systemAssigned']]);
    await change(second, first);
    assert.deepEqual(await shown(), [[second, 'contoso', 'systemAssigned']]);
    await change(undefined, second);
    assert.deepEqual(await shown(), []);
  });

  test('identities that are assigned exist; one that was deleted since stays as it was', async () => {
    const id = '/subscriptions/s/gone';
    const assigned = { principalId: ids.guid(), clientId: ids.guid() };
    const identity = { type: 'UserAssigned', userAssignedIdentities: { [id.toUpperCase()]: {} } };
    const settle = async (previous: Resource | undefined, asked: JsonObject) =>
      await database.transaction((tx) =>
        settleRegistryIdentity({ ids, tenantId: ids.guid() }, tx, {
          resource: { ...registry(undefined), identity: asked },
          previous,
        }),
      );
    await assert.rejects(settle(undefined, identity), { error: 'resourceInvalid' });
    const before = { type: 'UserAssigned', userAssignedIdentities: { [id]: assigned } };
    assert.deepEqual(await settle({ ...registry(undefined), identity: before }, identity), before);
    await assert.rejects(settle(undefined, { type: 'UserAssigned' }), { error: 'resourceInvalid' });
    const many = Object.fromEntries(Array.from({ length: 21 }, (_, count) => [`/subscriptions/s/${count}`, {}]));
    await assert.rejects(settle(undefined, { type: 'UserAssigned', userAssignedIdentities: many }), {
      error: 'quotaExceeded',
    });
  });

  test('it goes with the registry, once', async () => {
    await change(first, undefined);
    for (let times = 0; times < 2; times += 1)
      await tenant.journal.transaction((tx, append) => forgetRegistryIdentity({ tx, append }, registry(first)));
    assert.deepEqual(await shown(), []);
  });
});
