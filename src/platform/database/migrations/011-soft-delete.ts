import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Tags and manifests that were deleted and can be restored, apart from those that are served. */
export function softDeleteMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const integer = kind === 'sqlite' ? sql`integer` : sql`bigint`;
      await db.schema
        .alterTable('registries')
        .addColumn('keeps_deleted', integer, (column) => column.notNull().defaultTo(0))
        .execute();
      await db.schema
        .alterTable('registries')
        .addColumn('deleted_days', integer, (column) => column.notNull().defaultTo(7))
        .execute();
      const make = new TableMaker(db, kind);
      await createManifests(db, make);
      await createTags(db, make);
    },
  };
}

async function createManifests(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('deleted_manifests', {
      repository_uid: 'text',
      digest: 'text',
      deleted_at: 'int64',
      media_type: 'text',
      artifact_type: 'text?',
      size: 'int64',
      subject_digest: 'text?',
      annotations: 'text?',
      created_at: 'int64',
      changed_at: 'int64',
      body: 'bytes',
    })
    .addPrimaryKeyConstraint('deleted_manifests_key', ['repository_uid', 'digest'])
    .addForeignKeyConstraint('deleted_manifests_repository', ['repository_uid'], 'repositories', ['uid'])
    .execute();
  await db.schema
    .createIndex('deleted_manifests_time')
    .on('deleted_manifests')
    .columns(['deleted_at', 'repository_uid'])
    .execute();
  await make
    .keyed('deleted_references', { repository_uid: 'text', manifest_digest: 'text', digest: 'text', kind: 'text' })
    .addPrimaryKeyConstraint('deleted_references_key', ['repository_uid', 'manifest_digest', 'digest'])
    .addForeignKeyConstraint(
      'deleted_references_manifest',
      ['repository_uid', 'manifest_digest'],
      'deleted_manifests',
      ['repository_uid', 'digest'],
      (constraint) => constraint.onDelete('cascade'),
    )
    .execute();
  await db.schema
    .createIndex('deleted_references_digest')
    .on('deleted_references')
    .columns(['repository_uid', 'digest'])
    .execute();
}

async function createTags(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('deleted_tags', { repository_uid: 'text', name: 'text', digest: 'text', deleted_at: 'int64' })
    .addPrimaryKeyConstraint('deleted_tags_key', ['repository_uid', 'name', 'digest'])
    .addForeignKeyConstraint('deleted_tags_repository', ['repository_uid'], 'repositories', ['uid'])
    .execute();
  await db.schema
    .createIndex('deleted_tags_time')
    .on('deleted_tags')
    .columns(['deleted_at', 'repository_uid'])
    .execute();
}
