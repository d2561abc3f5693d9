import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';

/** Who bears a name: pages of the audit are asked for by it. */
export function principalNamesMigration(kind: Database['kind']): Migration {
  return {
    up: async (db: Kysely<unknown>) => {
      // Names that an outside issuer gave may be longer than a page of a tree has room for.
      const columns = kind === 'sqlite' ? sql`(display_name)` : sql`using hash (display_name)`;
      await sql`create index principals_name on principals ${columns}`.execute(db);
    },
  };
}
