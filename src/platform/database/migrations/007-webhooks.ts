import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Whom to tell of changes, how far each has been told, and what was sent. */
export function webhooksMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const make = new TableMaker(db, kind);
      await make
        .keyed('webhooks', {
          uid: 'text',
          registry_uid: 'text',
          form: 'text',
          is_enabled: 'int64',
          filter: 'text',
          sealed_target: 'bytes',
          failures: 'int64',
          retry_at: 'int64',
          created_at: 'int64',
          changed_at: 'int64',
        })
        .addPrimaryKeyConstraint('webhooks_key', ['uid'])
        .execute();
      await sql`create index webhooks_of_registry on webhooks (registry_uid)`.execute(db);

      await make
        .keyed('webhook_cursors', {
          webhook_uid: 'text',
          stream: 'text',
          incarnation: 'text',
          seq: 'int64',
          part: 'int64',
        })
        .addPrimaryKeyConstraint('webhook_cursors_key', ['webhook_uid', 'stream'])
        .execute();
      await sql`create index webhook_cursors_of_stream on webhook_cursors (stream, seq)`.execute(db);

      await make
        .plain('webhook_deliveries', {
          webhook_uid: 'text',
          event_id: 'text',
          state: 'text',
          occurred_at: 'int64',
          attempts: 'int64',
          tried_at: 'int64',
          payload: 'text',
          outcome: 'text',
        })
        .addPrimaryKeyConstraint('webhook_deliveries_key', ['webhook_uid', 'event_id'])
        .execute();
      await sql`create index webhook_deliveries_tried on webhook_deliveries (webhook_uid, state, tried_at)`.execute(db);
    },
  };
}
