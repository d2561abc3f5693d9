import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What limits a registry beside its SKU, and the buckets that processes share. */
export function throttlingMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const integer = kind === 'sqlite' ? sql`integer` : sql`bigint`;
      await db.schema
        .alterTable('registries')
        .addColumn('is_throttled', integer, (column) => column.notNull().defaultTo(0))
        .execute();
      await db.schema.alterTable('registries').addColumn('storage_limit', integer).execute();
      await new TableMaker(db, kind)
        .keyed('throttle_buckets', { bucket: 'text', level: 'int64', changed_at: 'int64', closed_until: 'int64' })
        .addPrimaryKeyConstraint('throttle_buckets_key', ['bucket'])
        .execute();
    },
  };
}
