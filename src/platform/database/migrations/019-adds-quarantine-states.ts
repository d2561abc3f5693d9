import type { Kysely, Migration } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What scanners say of manifests. */
export function quarantineStatesMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      await new TableMaker(db, kind)
        .keyed('quarantine_states', { repository_uid: 'text', digest: 'text', state: 'text', details: 'text?' })
        .addPrimaryKeyConstraint('quarantine_states_key', ['repository_uid', 'digest'])
        .addForeignKeyConstraint(
          'quarantine_states_manifest',
          ['repository_uid', 'digest'],
          'manifests',
          ['repository_uid', 'digest'],
          (constraint) => constraint.onDelete('cascade'),
        )
        .execute();
    },
  };
}
