import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import type { Database } from '../database.ts';
import { resourcesMigration } from './002-resources.ts';

const subscription_id = '7f2c2f0e-9d43-4f6e-8f51-0a2b7f3c1d11';
const created_at = 1_000_000;

forEachDatabase((kind, open) => {
  test('registries of an installation made before become resources of its group', async () => {
    const database = await open();
    await undo(database);
    await fillOld(database);
    await database.transaction((tx) => resourcesMigration(kind).up(tx));
    const resources = await database.read
      .selectFrom('resources')
      .orderBy('id_key')
      .select(['uid', 'id', 'parent_key', 'name', 'location', 'envelope', 'properties', 'state', 'created_at'])
      .execute();
    const group = `/subscriptions/${subscription_id}/resourceGroups/berth`;
    const common = { location: 'local', state: 'Succeeded', created_at };
    assert.deepEqual(resources, [
      {
        ...common,
        uid: 'installation',
        id: group,
        parent_key: `/subscriptions/${subscription_id}`,
        name: 'berth',
        envelope: '{}',
        properties: '{}',
      },
      {
        ...common,
        uid: 'registry',
        id: `${group}/providers/Microsoft.ContainerRegistry/registries/Contoso`,
        parent_key: group.toLowerCase(),
        name: 'Contoso',
        envelope: '{"sku":{"name":"Standard"}}',
        properties: '{"adminUserEnabled":true,"anonymousPullEnabled":false}',
      },
    ]);
    const subscriptions = await database.read
      .selectFrom('subscriptions')
      .select(['subscription_id', 'tenant_uid'])
      .execute();
    assert.deepEqual(subscriptions, [{ subscription_id, tenant_uid: 'tenant' }]);
    const registry = await database.read.selectFrom('registries').select(['host_label', 'is_deleting']).execute();
    assert.deepEqual(registry, [{ host_label: '', is_deleting: 0 }]);
  });
});

/** Back to what the first migration made. */
async function undo(database: Database): Promise<void> {
  await database.transaction(async (tx) => {
    for (const table of ['resources', 'operations', 'subscriptions']) await tx.schema.dropTable(table).execute();
    for (const column of ['host_label', 'is_deleting']) {
      await tx.schema.alterTable('registries').dropColumn(column).execute();
    }
  });
}

async function fillOld(database: Database): Promise<void> {
  await database.transaction(async (tx) => {
    await tx
      .insertInto('tenants')
      .values({ uid: 'tenant', tenant_id: 'tenant', access_epoch: 1, created_at })
      .execute();
    await tx
      .insertInto('installation')
      .values({
        id: 1,
        installation_uid: 'installation',
        tenant_uid: 'tenant',
        subscription_id,
        region: 'home',
        created_at,
      })
      .execute();
    await tx
      .insertInto('registries')
      .values({
        uid: 'registry',
        tenant_uid: 'tenant',
        name: 'Contoso',
        name_key: 'contoso',
        sku: 'Standard',
        is_admin_enabled: 1,
        is_anonymous_pull_enabled: 0,
        created_at,
      })
      .execute();
  });
}
