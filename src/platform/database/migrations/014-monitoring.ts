import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** What registries were used for, by the minute and the hour; whom their logs are sent to; what of the logs is in the archive. */
export function monitoringMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const make = new TableMaker(db, kind);
      await make
        .keyed('metric_values', {
          registry_uid: 'text',
          metric: 'text',
          grain_seconds: 'int64',
          at: 'int64',
          total: 'int64',
          count: 'int64',
          minimum: 'int64',
          maximum: 'int64',
        })
        .addPrimaryKeyConstraint('metric_values_key', ['registry_uid', 'metric', 'grain_seconds', 'at'])
        .execute();
      await sql`create index metric_values_at on metric_values (grain_seconds, at)`.execute(db);

      await make
        .plain('diagnostic_settings', {
          uid: 'text',
          registry_uid: 'text',
          is_enabled: 'int64',
          categories: 'text',
          destination: 'text',
          failures: 'int64',
          retry_at: 'int64',
          last_error: 'text',
          created_at: 'int64',
          changed_at: 'int64',
        })
        .addPrimaryKeyConstraint('diagnostic_settings_key', ['uid'])
        .execute();

      await make
        .keyed('diagnostic_cursors', {
          setting_uid: 'text',
          source: 'text',
          stream: 'text',
          incarnation: 'text',
          seq: 'int64',
        })
        .addPrimaryKeyConstraint('diagnostic_cursors_key', ['setting_uid', 'source', 'stream', 'incarnation'])
        .execute();

      await make
        .plain('audit_segments', {
          number: 'int64',
          stream: 'text',
          first_seq: 'int64',
          last_seq: 'int64',
          first_at: 'int64',
          last_at: 'int64',
          previous_hash: 'text',
          last_hash: 'text',
          name: 'text',
          sha256: 'text',
          is_removed: 'int64',
          created_at: 'int64',
        })
        .addPrimaryKeyConstraint('audit_segments_key', ['number'])
        .execute();
      await sql`create unique index audit_segments_of on audit_segments (stream, last_seq)`.execute(db);
    },
  };
}
