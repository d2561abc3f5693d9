import type { Kysely, Migration } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What starts tasks: their timers, their git repositories, the images that they stand on; and the images that they make. */
export function tasksMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const make = new TableMaker(db, kind);
      await createTimers(db, make);
      await createSources(db, make);
      await createImages(db, make);
      await createRebuilds(db, make);
    },
  };
}

async function createTimers(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('task_timers', { task_uid: 'text', name: 'text', registry_uid: 'text', schedule: 'text', next_at: 'int64' })
    .addPrimaryKeyConstraint('task_timers_key', ['task_uid', 'name'])
    .execute();
  await db.schema.createIndex('task_timers_time').on('task_timers').columns(['next_at', 'task_uid']).execute();
}

async function createSources(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('task_sources', {
      task_uid: 'text',
      name: 'text',
      registry_uid: 'text',
      hook_id: 'text',
      sealed_secret: 'bytes',
      state: 'text',
      provider_hook: 'text?',
      heads: 'text?',
      problem: 'text?',
      poll_at: 'int64',
    })
    .addPrimaryKeyConstraint('task_sources_key', ['task_uid', 'name'])
    .addUniqueConstraint('task_sources_hook', ['hook_id'])
    .execute();
  await db.schema.createIndex('task_sources_time').on('task_sources').columns(['poll_at', 'task_uid']).execute();
}

async function createImages(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('task_bases', {
      task_uid: 'text',
      host: 'text',
      repository: 'text',
      tag: 'text',
      registry_uid: 'text',
      base_registry_uid: 'text?',
      kind: 'text',
      digest: 'text?',
      check_at: 'int64',
    })
    .addPrimaryKeyConstraint('task_bases_key', ['task_uid', 'host', 'repository', 'tag'])
    .execute();
  await db.schema
    .createIndex('task_bases_image')
    .on('task_bases')
    .columns(['base_registry_uid', 'repository', 'tag'])
    .execute();
  await db.schema.createIndex('task_bases_time').on('task_bases').columns(['check_at', 'task_uid']).execute();
  await make
    .keyed('task_outputs', { task_uid: 'text', host: 'text', repository: 'text', tag: 'text', registry_uid: 'text' })
    .addPrimaryKeyConstraint('task_outputs_key', ['task_uid', 'host', 'repository', 'tag'])
    .execute();
  await db.schema
    .createIndex('task_outputs_registry')
    .on('task_outputs')
    .columns(['registry_uid', 'task_uid'])
    .execute();
}

async function createRebuilds(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('task_rebuild_steps', {
      rebuild_uid: 'text',
      task_uid: 'text',
      registry_uid: 'text',
      waits_for: 'text',
      run_id: 'text?',
      state: 'text',
      created_at: 'int64',
    })
    .addPrimaryKeyConstraint('task_rebuild_steps_key', ['rebuild_uid', 'task_uid'])
    .execute();
  await db.schema
    .createIndex('task_rebuild_steps_task')
    .on('task_rebuild_steps')
    .columns(['task_uid', 'state'])
    .execute();
}
