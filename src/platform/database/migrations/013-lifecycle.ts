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
      await improveIndexes(db);
      if (kind === 'sqlite') await describeTags(db);
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

/** Without `kind` in the index SQLite reads every reference of a repository instead, for each blob and manifest that it looks at. */
async function improveIndexes(db: Kysely<unknown>): Promise<void> {
  for (const table of ['manifest_references', 'deleted_references']) {
    const index = `${table}_digest`;
    await db.schema.dropIndex(index).execute();
    await db.schema.createIndex(index).on(table).columns(['repository_uid', 'digest', 'kind']).execute();
  }
}

/**
 * Tells SQLite, which knows nothing of a table that was never analyzed, that repositories have many tags: whether a manifest that
 * is deleted still has one is then looked up by its digest, and not among all tags of the repository.
 */
async function describeTags(db: Kysely<unknown>): Promise<void> {
  await sql`analyze tags`.execute(db);
  await sql`delete from sqlite_stat1 where tbl = 'tags'`.execute(db);
  await sql`insert into sqlite_stat1 (tbl, idx, stat) values
    ('tags', 'tags', '1000000 1000 1'),
    ('tags', 'tags_digest', '1000000 1000 2 1'),
    ('tags', 'tags_time', '1000000 1000 2 1')`.execute(db);
  await sql`analyze sqlite_schema`.execute(db);
}
