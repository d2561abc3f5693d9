import { type Kysely, type Migration, sql } from 'kysely';

/** What background work and metrics look for again and again, among many rows that are not it. */
export function upkeepIndexesMigration(): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      await sql`create index blobs_damaged on blobs (registry_uid) where state = 'damaged'`.execute(db);
      await sql`create index lifecycle_runs_open on lifecycle_runs (asked_at) where ended_at is null`.execute(db);
      await sql`create index lifecycle_policies_time on lifecycle_policies (next_run_at)`.execute(db);
    },
  };
}
