import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** Where the audit finds things in journal and access log, and what is signed of both. */
export function insightMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      const make = new TableMaker(db, kind);
      await make
        .keyed('audit_terms', {
          term: 'text',
          last_at: 'int64',
          first_at: 'int64',
          source: 'text',
          stream: 'text',
          incarnation: 'text',
          first_seq: 'int64',
          last_seq: 'int64',
        })
        .addPrimaryKeyConstraint('audit_terms_key', ['term', 'last_at', 'source', 'stream', 'incarnation', 'first_seq'])
        .execute();

      await make
        .plain('audit_keys', { uid: 'text', public_key: 'text', sealed_private_key: 'bytes', created_at: 'int64' })
        .addPrimaryKeyConstraint('audit_keys_key', ['uid'])
        .execute();

      await make
        .plain('audit_checkpoints', {
          number: 'int64',
          source: 'text',
          stream: 'text',
          incarnation: 'text',
          seq: 'int64',
          key_uid: 'text',
          statement: 'text',
          signature: 'text',
        })
        .addPrimaryKeyConstraint('audit_checkpoints_key', ['number'])
        .execute();
      await sql`create index audit_checkpoints_of on audit_checkpoints (source, stream, incarnation, seq)`.execute(db);
    },
  };
}
