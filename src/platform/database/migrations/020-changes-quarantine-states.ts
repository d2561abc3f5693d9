import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What scanners say of manifests outlives them: it goes with the repository. */
export function lastingQuarantineStatesMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      await sql`alter table quarantine_states rename to quarantine_states_before`.execute(db);
      await new TableMaker(db, kind)
        .keyed('quarantine_states', { repository_uid: 'text', digest: 'text', state: 'text', details: 'text?' })
        .addPrimaryKeyConstraint('quarantine_states_digest', ['repository_uid', 'digest'])
        .addForeignKeyConstraint(
          'quarantine_states_repository',
          ['repository_uid'],
          'repositories',
          ['uid'],
          (constraint) => constraint.onDelete('cascade'),
        )
        .execute();
      await sql`
        insert into quarantine_states (repository_uid, digest, state, details)
        select repository_uid, digest, state, details from quarantine_states_before`.execute(db);
      await sql`drop table quarantine_states_before`.execute(db);
    },
  };
}
