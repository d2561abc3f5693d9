import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What garbage collection walks along, how far walks have come, and since when manifests are without a tag. */
export function retentionMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      await new TableMaker(db, kind)
        .keyed('walks', { name: 'text', position: 'text', changed_at: 'int64' })
        .addPrimaryKeyConstraint('walks_key', ['name'])
        .execute();
      await sql`create index blobs_grace on blobs (grace_until, registry_uid, digest)`.execute(db);
      await addColumns(db, kind);
      await createMarks(db, new TableMaker(db, kind));
    },
  };
}

async function addColumns(db: Kysely<unknown>, kind: Database['kind']): Promise<void> {
  const integer = kind === 'sqlite' ? sql`integer` : sql`bigint`;
  const text = kind === 'sqlite' ? sql`text` : sql`text collate "C"`;
  await db.schema.alterTable('registries').addColumn('retention_days', integer).execute();
  await db.schema.alterTable('tags').addColumn('previous_digest', text).execute();
}

async function createMarks(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('untagged_manifests', { repository_uid: 'text', digest: 'text', registry_uid: 'text', since: 'int64' })
    .addPrimaryKeyConstraint('untagged_manifests_key', ['repository_uid', 'digest'])
    .addForeignKeyConstraint(
      'untagged_manifests_manifest',
      ['repository_uid', 'digest'],
      'manifests',
      ['repository_uid', 'digest'],
      (constraint) => constraint.onDelete('cascade'),
    )
    .execute();
  await db.schema
    .createIndex('untagged_manifests_since')
    .on('untagged_manifests')
    .columns(['registry_uid', 'since'])
    .execute();
}
