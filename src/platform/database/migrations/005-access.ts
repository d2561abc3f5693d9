import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Roles and who has them where, scope maps, and what decisions ask of a registry. */
export function accessMigration(kind: Database['kind']): Migration {
  return {
    up: async (db) => {
      const make = new TableMaker(db, kind);
      await createRoles(db, make);
      await createScopeMaps(db, make);
      await extendRegistries(db, kind);
    },
  };
}

async function createRoles(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('role_assignments', {
      uid: 'text',
      tenant_uid: 'text',
      scope_key: 'text',
      principal_uid: 'text',
      role_key: 'text',
      condition: 'text?',
    })
    .addPrimaryKeyConstraint('role_assignments_key', ['uid'])
    .addUniqueConstraint('role_assignments_once', ['principal_uid', 'scope_key', 'role_key', 'tenant_uid'])
    .execute();
  await db.schema
    .createIndex('role_assignments_scope')
    .on('role_assignments')
    .columns(['tenant_uid', 'scope_key', 'uid'])
    .execute();
  await make
    .keyed('custom_roles', {
      uid: 'text',
      tenant_uid: 'text',
      role_key: 'text',
      name_key: 'text',
      definition: 'text',
    })
    .addPrimaryKeyConstraint('custom_roles_key', ['uid'])
    .addUniqueConstraint('custom_roles_role', ['tenant_uid', 'role_key'])
    .addUniqueConstraint('custom_roles_name', ['tenant_uid', 'name_key'])
    .execute();
}

async function createScopeMaps(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('scope_maps', { uid: 'text', registry_uid: 'text', name_key: 'text', actions: 'text' })
    .addPrimaryKeyConstraint('scope_maps_key', ['uid'])
    .addUniqueConstraint('scope_maps_name', ['registry_uid', 'name_key'])
    .execute();
  await make
    .keyed('repository_tokens', { principal_uid: 'text', registry_uid: 'text', scope_map_key: 'text' })
    .addPrimaryKeyConstraint('repository_tokens_key', ['principal_uid'])
    .execute();
  await db.schema
    .createIndex('repository_tokens_scope_map')
    .on('repository_tokens')
    .columns(['registry_uid', 'scope_map_key', 'principal_uid'])
    .execute();
}

async function extendRegistries(db: Kysely<unknown>, kind: Database['kind']): Promise<void> {
  const text = kind === 'sqlite' ? sql`text` : sql`text collate "C"`;
  const columns = { permission_mode: 'LegacyRegistryPermissions', network_rules: '{}', anonymous_repositories: '[]' };
  for (const [column, initial] of Object.entries(columns)) {
    await db.schema
      .alterTable('registries')
      .addColumn(column, text, (built) => built.notNull().defaultTo(initial))
      .execute();
  }
  const int64 = kind === 'sqlite' ? sql`integer` : sql`bigint`;
  await db.schema
    .alterTable('registries')
    .addColumn('credentials_epoch', int64, (built) => built.notNull().defaultTo(0))
    .execute();
}
