import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';

/** Since when a webhook's receiver takes nothing: what waits behind it is tried for a day from then on. */
export function failingSinceMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const integer = kind === 'sqlite' ? sql`integer` : sql`bigint`;
      await db.schema
        .alterTable('webhooks')
        .addColumn('failing_since', integer, (column) => column.notNull().defaultTo(0))
        .execute();
    },
  };
}
