import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** The tenant's directory: applications, groups, credentials of every kind, and sign-ins that are under way. */
export function directoryMigration(kind: Database['kind']): Migration {
  return {
    up: async (db) => {
      const make = new TableMaker(db, kind);
      await extendPrincipals(db, kind);
      await createApplications(make);
      await createGroups(db, make);
      await createSignInStates(db, make);
    },
  };
}

async function extendPrincipals(db: Kysely<unknown>, kind: Database['kind']): Promise<void> {
  const text = kind === 'sqlite' ? sql`text` : sql`text collate "C"`;
  const int64 = kind === 'sqlite' ? sql`integer` : sql`bigint`;
  await db.schema
    .alterTable('principals')
    .addColumn('properties', text, (column) => column.notNull().defaultTo('{}'))
    .execute();
  await db.schema.alterTable('secrets').addColumn('display_name', text).execute();
  await db.schema.alterTable('secrets').addColumn('hint', text).execute();
  await db.schema.alterTable('secrets').addColumn('starts_at', int64).execute();
  await db.schema
    .alterTable('secrets')
    .addColumn('is_of_application', int64, (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema.createIndex('principals_of_tenant').on('principals').columns(['tenant_uid', 'kind', 'uid']).execute();
}

async function createApplications(make: TableMaker): Promise<void> {
  await make
    .keyed('applications', {
      uid: 'text',
      tenant_uid: 'text',
      app_id: 'text',
      principal_uid: 'text',
      is_provisioned: 'int64',
      display_name: 'text',
      properties: 'text',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('applications_key', ['uid'])
    .addUniqueConstraint('applications_app_id', ['app_id', 'tenant_uid'])
    .addUniqueConstraint('applications_principal', ['principal_uid'])
    .addForeignKeyConstraint('applications_tenant', ['tenant_uid'], 'tenants', ['uid'])
    .addForeignKeyConstraint('applications_of_principal', ['principal_uid'], 'principals', ['uid'])
    .execute();
}

async function createGroups(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('user_groups', {
      uid: 'text',
      tenant_uid: 'text',
      display_name: 'text',
      properties: 'text',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('user_groups_key', ['uid'])
    .addForeignKeyConstraint('user_groups_tenant', ['tenant_uid'], 'tenants', ['uid'])
    .execute();

  await make
    .keyed('directory_links', { tenant_uid: 'text', source_uid: 'text', kind: 'text', target_uid: 'text' })
    .addPrimaryKeyConstraint('directory_links_key', ['source_uid', 'kind', 'target_uid'])
    .execute();
  await db.schema
    .createIndex('directory_links_target')
    .on('directory_links')
    .columns(['target_uid', 'kind', 'source_uid'])
    .execute();
}

async function createSignInStates(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('sign_in_states', { key: 'text', payload: 'text', expires_at: 'int64' })
    .addPrimaryKeyConstraint('sign_in_states_key', ['key'])
    .execute();
  await db.schema.createIndex('sign_in_states_expiry').on('sign_in_states').column('expires_at').execute();
}
