import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Locks, lists by time, what manifests say of themselves, write-once tags, and the bytes in use. */
export function attributesMigration(kind: Database['kind']): Migration {
  return {
    up: async (db) => {
      const make = new TableMaker(db, kind);
      await addColumns(db, kind);
      await indexTimes(db);
      await createFacts(make);
      await createUsage(make);
      await fillUsage(db);
    },
  };
}

async function addColumns(db: Kysely<unknown>, kind: Database['kind']): Promise<void> {
  const integer = kind === 'sqlite' ? sql`integer` : sql`bigint`;
  for (const table of ['repositories', 'manifests', 'tags'])
    await db.schema
      .alterTable(table)
      .addColumn('locks', integer, (column) => column.notNull().defaultTo(0))
      .execute();
  await db.schema
    .alterTable('registries')
    .addColumn('immutable_tags', kind === 'sqlite' ? sql`text` : sql`text collate "C"`, (column) =>
      column.notNull().defaultTo('[]'),
    )
    .execute();
}

async function indexTimes(db: Kysely<unknown>): Promise<void> {
  await db.schema.createIndex('tags_time').on('tags').columns(['repository_uid', 'changed_at', 'name']).execute();
  await db.schema
    .createIndex('manifests_time')
    .on('manifests')
    .columns(['repository_uid', 'changed_at', 'digest'])
    .execute();
}

async function createFacts(make: TableMaker): Promise<void> {
  await make
    .keyed('manifest_facts', { repository_uid: 'text', digest: 'text', facts: 'text' })
    .addPrimaryKeyConstraint('manifest_facts_key', ['repository_uid', 'digest'])
    .addForeignKeyConstraint(
      'manifest_facts_manifest',
      ['repository_uid', 'digest'],
      'manifests',
      ['repository_uid', 'digest'],
      (constraint) => constraint.onDelete('cascade'),
    )
    .execute();
}

async function createUsage(make: TableMaker): Promise<void> {
  await make
    .keyed('referenced_blobs', { registry_uid: 'text', digest: 'text', size: 'int64' })
    .addPrimaryKeyConstraint('referenced_blobs_key', ['registry_uid', 'digest'])
    .addForeignKeyConstraint('referenced_blobs_registry', ['registry_uid'], 'registries', ['uid'], (constraint) =>
      constraint.onDelete('cascade'),
    )
    .execute();
  await make
    .keyed('registry_usage', { registry_uid: 'text', bytes: 'int64' })
    .addPrimaryKeyConstraint('registry_usage_key', ['registry_uid'])
    .addForeignKeyConstraint('registry_usage_registry', ['registry_uid'], 'registries', ['uid'], (constraint) =>
      constraint.onDelete('cascade'),
    )
    .execute();
}

/** Content pushed before this migration counts too. */
async function fillUsage(db: Kysely<unknown>): Promise<void> {
  await sql`insert into referenced_blobs (registry_uid, digest, size)
    select b.registry_uid, b.digest, b.size from blobs b where exists (
      select 1 from repositories r
      join blob_links l on l.repository_uid = r.uid and l.digest = b.digest
      join manifest_references m on m.repository_uid = r.uid and m.digest = b.digest and m.kind = 'blob'
      where r.registry_uid = b.registry_uid)`.execute(db);
  await sql`insert into registry_usage (registry_uid, bytes)
    select g.uid,
      coalesce((select sum(u.size) from referenced_blobs u where u.registry_uid = g.uid), 0) +
      coalesce((select sum(m.size) from repositories r join manifests m on m.repository_uid = r.uid
        where r.registry_uid = g.uid), 0)
    from registries g`.execute(db);
}
