import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What garbage collection walks along, and how far walks have come. */
export function retentionMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      await new TableMaker(db, kind)
        .keyed('walks', { name: 'text', position: 'text', changed_at: 'int64' })
        .addPrimaryKeyConstraint('walks_key', ['name'])
        .execute();
      await sql`create index blobs_grace on blobs (grace_until, registry_uid, digest)`.execute(db);
    },
  };
}
