import type { Kysely, Migration } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What scanners say of manifests outlives them: it goes with the repository. */
export function quarantineStatesMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
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
    },
  };
}
