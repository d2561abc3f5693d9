import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** The control plane's tables: subscriptions, every ARM resource, long-running operations. */
export function resourcesMigration(kind: Database['kind']): Migration {
  return {
    up: async (db) => {
      const make = new TableMaker(db, kind);
      await createSubscriptions(make);
      await createResources(db, make);
      await createOperations(db, make);
      await extendRegistries(db, kind);
      await fillResources(db);
    },
  };
}

async function createSubscriptions(make: TableMaker): Promise<void> {
  await make
    .keyed('subscriptions', { subscription_id: 'text', tenant_uid: 'text', display_name: 'text', created_at: 'int64' })
    .addPrimaryKeyConstraint('subscriptions_key', ['subscription_id'])
    .addForeignKeyConstraint('subscriptions_tenant', ['tenant_uid'], 'tenants', ['uid'])
    .execute();
}

async function createResources(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('resources', {
      uid: 'text',
      tenant_uid: 'text',
      subscription_id: 'text',
      id: 'text',
      id_key: 'text',
      parent_id: 'text',
      parent_key: 'text',
      group_name: 'text?',
      group_key: 'text?',
      type: 'text',
      type_key: 'text',
      name: 'text',
      location: 'text?',
      tags: 'text',
      envelope: 'text',
      properties: 'text',
      state: 'text',
      etag: 'text',
      created_at: 'int64',
      created_by: 'text',
      changed_at: 'int64',
      changed_by: 'text',
    })
    .addPrimaryKeyConstraint('resources_key', ['uid'])
    .addUniqueConstraint('resources_id', ['id_key'])
    .addForeignKeyConstraint('resources_subscription', ['subscription_id'], 'subscriptions', ['subscription_id'])
    .execute();
  await db.schema
    .createIndex('resources_of_type')
    .on('resources')
    .columns(['subscription_id', 'type_key', 'id_key'])
    .execute();
  await db.schema
    .createIndex('resources_below')
    .on('resources')
    .columns(['parent_key', 'type_key', 'id_key'])
    .execute();
  await db.schema
    .createIndex('resources_of_group')
    .on('resources')
    .columns(['subscription_id', 'group_key', 'id_key'])
    .execute();
}

async function createOperations(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('operations', {
      uid: 'text',
      tenant_uid: 'text',
      resource_uid: 'text',
      resource_id: 'text',
      state: 'text',
      error: 'text?',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('operations_key', ['uid'])
    .execute();
  await db.schema.createIndex('operations_of_resource').on('operations').columns(['resource_uid', 'state']).execute();
  await db.schema.createIndex('operations_age').on('operations').column('changed_at').execute();
}

async function extendRegistries(db: Kysely<unknown>, kind: Database['kind']): Promise<void> {
  const text = kind === 'sqlite' ? sql`text` : sql`text collate "C"`;
  await db.schema
    .alterTable('registries')
    .addColumn('host_label', text, (column) => column.notNull().defaultTo(''))
    .execute();
  await db.schema
    .alterTable('registries')
    .addColumn('is_deleting', kind === 'sqlite' ? sql`integer` : sql`bigint`, (column) => column.notNull().defaultTo(0))
    .execute();
}

/** Registries made before this migration become resources of the installation's group. */
async function fillResources(db: Kysely<unknown>): Promise<void> {
  await sql`insert into subscriptions (subscription_id, tenant_uid, display_name, created_at)
    select subscription_id, tenant_uid, 'Berth', created_at from installation`.execute(db);
  const by = JSON.stringify({ uid: 'installation', name: 'installation', kind: 'Application' });
  const group = sql`'/subscriptions/' || i.subscription_id || '/resourceGroups/berth'`;
  const columns = sql.raw(
    'uid, tenant_uid, subscription_id, id, id_key, parent_id, parent_key, group_name, group_key, type, type_key, name, ' +
      'location, tags, envelope, properties, state, etag, created_at, created_by, changed_at, changed_by',
  );
  const groupType = 'Microsoft.Resources/resourceGroups';
  await sql`insert into resources (${columns})
    select i.installation_uid, i.tenant_uid, i.subscription_id, ${group}, lower(${group}),
      '/subscriptions/' || i.subscription_id, '/subscriptions/' || i.subscription_id, 'berth', 'berth',
      ${sql.lit(groupType)}, ${sql.lit(groupType.toLowerCase())}, 'berth', 'local', '{}', '{}', '{}', 'Succeeded',
      i.installation_uid, i.created_at, ${sql.lit(by)}, i.created_at, ${sql.lit(by)}
    from installation i`.execute(db);
  const type = 'Microsoft.ContainerRegistry/registries';
  const id = sql`${group} || '/providers/Microsoft.ContainerRegistry/registries/' || r.name`;
  const yes = (column: string) => sql`case when ${sql.ref(column)} = 1 then 'true' else 'false' end`;
  await sql`insert into resources (${columns})
    select r.uid, r.tenant_uid, i.subscription_id, ${id}, lower(${id}), ${group}, lower(${group}), 'berth', 'berth',
      ${sql.lit(type)}, ${sql.lit(type.toLowerCase())}, r.name, 'local', '{}',
      '{"sku":{"name":"' || r.sku || '"}}',
      '{"adminUserEnabled":' || ${yes('r.is_admin_enabled')} || ',"anonymousPullEnabled":' || ${yes('r.is_anonymous_pull_enabled')} || '}',
      'Succeeded', r.uid, r.created_at, ${sql.lit(by)}, r.created_at, ${sql.lit(by)}
    from registries r join installation i on i.tenant_uid = r.tenant_uid`.execute(db);
}
