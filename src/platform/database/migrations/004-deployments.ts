import type { Migration } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Deployments of ARM templates: the last one of each name in a resource group. */
export function deploymentsMigration(kind: Database['kind']): Migration {
  return {
    up: async (db) => {
      await new TableMaker(db, kind)
        .plain('deployments', {
          uid: 'text',
          tenant_uid: 'text',
          group_uid: 'text',
          name: 'text',
          name_key: 'text',
          mode: 'text',
          state: 'text',
          template: 'text',
          parameters: 'text',
          outputs: 'text',
          operations: 'text',
          error: 'text?',
          author: 'text',
          correlation_id: 'text',
          created_at: 'int64',
          changed_at: 'int64',
          input: 'bytes?',
        })
        .addPrimaryKeyConstraint('deployments_key', ['uid'])
        .addUniqueConstraint('deployments_name', ['group_uid', 'name_key'])
        .execute();
    },
  };
}
