import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Rules by which content of a registry leaves, and their runs; when content was pulled last; what new repositories begin with. */
export function lifecycleMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const make = new TableMaker(db, kind);
      await createLastPulls(make);
      await rememberBeginning(db, kind);
      await createLifecycle(db, make);
      await createTemplates(db, kind, make);
    },
  };
}

async function createLastPulls(make: TableMaker): Promise<void> {
  await make
    .keyed('tag_pulls', { repository_uid: 'text', name: 'text', pulled_at: 'int64' })
    .addPrimaryKeyConstraint('tag_pulls_key', ['repository_uid', 'name'])
    .addForeignKeyConstraint(
      'tag_pulls_tag',
      ['repository_uid', 'name'],
      'tags',
      ['repository_uid', 'name'],
      (constraint) => constraint.onDelete('cascade'),
    )
    .execute();
  await make
    .keyed('manifest_pulls', { repository_uid: 'text', digest: 'text', pulled_at: 'int64' })
    .addPrimaryKeyConstraint('manifest_pulls_key', ['repository_uid', 'digest'])
    .addForeignKeyConstraint(
      'manifest_pulls_manifest',
      ['repository_uid', 'digest'],
      'manifests',
      ['repository_uid', 'digest'],
      (constraint) => constraint.onDelete('cascade'),
    )
    .execute();
}

/** Of pulls before this moment nothing is known, which is not the same as that there were none. */
async function rememberBeginning(db: Kysely<unknown>, kind: Database['kind']): Promise<void> {
  const nowMicros =
    kind === 'sqlite'
      ? sql`cast(unixepoch('subsec') * 1000 as integer) * 1000`
      : sql`cast(extract(epoch from now()) * 1000000 as bigint)`;
  await sql`insert into walks (name, position, changed_at) values ('pulls', '{}', ${nowMicros})`.execute(db);
}

async function createLifecycle(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('lifecycle_policies', {
      registry_uid: 'text',
      rules: 'text',
      every_ms: 'int64',
      next_run_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('lifecycle_policies_key', ['registry_uid'])
    .addForeignKeyConstraint('lifecycle_policies_registry', ['registry_uid'], 'registries', ['uid'], (constraint) =>
      constraint.onDelete('cascade'),
    )
    .execute();
  await make
    .keyed('lifecycle_runs', {
      uid: 'text',
      registry_uid: 'text',
      asked_at: 'int64',
      ended_at: 'int64?',
      tags: 'int64',
      manifests: 'int64',
      freed_bytes: 'int64',
      problem: 'text?',
    })
    .addPrimaryKeyConstraint('lifecycle_runs_key', ['uid'])
    .addForeignKeyConstraint('lifecycle_runs_registry', ['registry_uid'], 'registries', ['uid'], (constraint) =>
      constraint.onDelete('cascade'),
    )
    .execute();
  await db.schema
    .createIndex('lifecycle_runs_time')
    .on('lifecycle_runs')
    .columns(['registry_uid', 'asked_at'])
    .execute();
  await make
    .keyed('lifecycle_items', { run_uid: 'text', seq: 'int64', item: 'text' })
    .addPrimaryKeyConstraint('lifecycle_items_key', ['run_uid', 'seq'])
    .addForeignKeyConstraint('lifecycle_items_run', ['run_uid'], 'lifecycle_runs', ['uid'], (constraint) =>
      constraint.onDelete('cascade'),
    )
    .execute();
}

async function createTemplates(db: Kysely<unknown>, kind: Database['kind'], make: TableMaker): Promise<void> {
  await make
    .keyed('repository_templates', { registry_uid: 'text', prefix: 'text', locks: 'int64', immutable_tags: 'text' })
    .addPrimaryKeyConstraint('repository_templates_key', ['registry_uid', 'prefix'])
    .addForeignKeyConstraint('repository_templates_registry', ['registry_uid'], 'registries', ['uid'], (constraint) =>
      constraint.onDelete('cascade'),
    )
    .execute();
  await db.schema
    .alterTable('repositories')
    .addColumn('immutable_tags', kind === 'sqlite' ? sql`text` : sql`text collate "C"`, (column) =>
      column.notNull().defaultTo('[]'),
    )
    .execute();
}
