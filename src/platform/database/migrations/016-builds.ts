import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Runs, what they print, what they are given, and who may take them. */
export function buildsMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const make = new TableMaker(db, kind);
      await createRuns(db, make);
      await createContexts(db, make);
      await make
        .keyed('agent_tokens', {
          uid: 'text',
          registry_uid: 'text',
          pool_key: 'text',
          verifier: 'text',
          created_at: 'int64',
        })
        .addPrimaryKeyConstraint('agent_tokens_key', ['uid'])
        .addUniqueConstraint('agent_tokens_verifier', ['verifier'])
        .execute();
    },
  };
}

async function createRuns(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('run_counters', { registry_uid: 'text', last: 'int64' })
    .addPrimaryKeyConstraint('run_counters_key', ['registry_uid'])
    .execute();
  await make
    .plain('runs', {
      uid: 'text',
      registry_uid: 'text',
      number: 'int64',
      run_id: 'text',
      status: 'text',
      run_type: 'text',
      pool_key: 'text',
      task_uid: 'text?',
      once_key: 'text?',
      facts: 'text',
      result: 'text',
      is_archived: 'int64',
      timeout_seconds: 'int64',
      sealed_order: 'bytes?',
      tokens: 'text',
      sealed_masks: 'bytes?',
      context_path: 'text?',
      created_at: 'int64',
      started_at: 'int64?',
      finished_at: 'int64?',
      changed_at: 'int64',
      attempt: 'int64',
      canceled_at: 'int64?',
      lease_verifier: 'text?',
      lease_until: 'int64',
      agent: 'text?',
      log_received: 'int64',
      log_size: 'int64',
      is_log_after_return: 'int64',
      log_key: 'text?',
    })
    .addPrimaryKeyConstraint('runs_key', ['uid'])
    .addUniqueConstraint('runs_number', ['registry_uid', 'number'])
    .addUniqueConstraint('runs_run_id', ['registry_uid', 'run_id'])
    .addUniqueConstraint('runs_once', ['registry_uid', 'once_key'])
    .addUniqueConstraint('runs_lease', ['lease_verifier'])
    .execute();
  // The few that are not at their end.
  await sql`create index runs_open on runs (pool_key, registry_uid, number) where finished_at is null`.execute(db);
  await sql`create index runs_finished on runs (finished_at) where finished_at is not null`.execute(db);
  await sql`create index runs_context on runs (context_path) where context_path is not null`.execute(db);
  await make
    .plain('run_log_chunks', { run_uid: 'text', offset: 'int64', bytes: 'bytes' })
    .addPrimaryKeyConstraint('run_log_chunks_key', ['run_uid', 'offset'])
    .execute();
}

async function createContexts(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('kept_bytes', {
      storage_key: 'text',
      registry_uid: 'text',
      digest: 'text',
      size: 'int64',
      created_at: 'int64',
    })
    .addPrimaryKeyConstraint('kept_bytes_key', ['storage_key'])
    .execute();
  await make
    .keyed('build_contexts', {
      uid: 'text',
      registry_uid: 'text',
      path: 'text',
      state: 'text',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('build_contexts_key', ['uid'])
    .addUniqueConstraint('build_contexts_path', ['path'])
    .execute();
  await sql`create index build_contexts_changed on build_contexts (changed_at)`.execute(db);
  await make
    .keyed('build_context_blocks', {
      context_uid: 'text',
      block_id: 'text',
      storage_key: 'text',
      size: 'int64',
      position: 'int64?',
    })
    .addPrimaryKeyConstraint('build_context_blocks_key', ['context_uid', 'block_id'])
    .execute();
}
