import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '../..');
const migrationName = '999-adds-next-things';

/**
 * Makes the next version of this program in an empty folder: its sources with one migration more, which adds two columns to every
 * table, a table and an index. Resolves to the program. It needs no history of the repository, which a shallow clone has not got.
 */
export function newerProgram(folder: string): { readonly program: string; readonly migration: string } {
  for (const part of ['bin', 'src', 'package.json'])
    cpSync(join(repository, part), join(folder, part), { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const database = join(folder, 'src/platform/database');
  writeFileSync(join(database, `migrations/${migrationName}.ts`), migrationSource);
  const list = join(database, 'migrate.ts');
  const source = readFileSync(list, 'utf8');
  const changed = source
    .replace(
      'import type { Schema }',
      `import { nextMigration } from './migrations/${migrationName}.ts';\nimport type { Schema }`,
    )
    .replace(/\n {2}\};\n\}\n/, `\n    '${migrationName}': nextMigration(kind),\n  };\n}\n`);
  if (changed.split('nextMigration').length !== 3) throw new Error('the list of migrations is not as it was expected');
  writeFileSync(list, changed);
  return { program: join(folder, 'bin/berth'), migration: migrationName };
}

const migrationSource = `
import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';

export function nextMigration(kind: Database['kind']): Migration {
  const integer = sql.raw(kind === 'sqlite' ? 'integer' : 'bigint');
  return {
    up: async (db: Kysely<unknown>) => {
      for (const { name } of await db.introspection.getTables()) {
        await sql\`alter table \${sql.table(name)} add column next_note text\`.execute(db);
        await sql\`alter table \${sql.table(name)} add column next_count \${integer} not null default 7\`.execute(db);
      }
      await sql\`create table next_things (uid text not null primary key)\`.execute(db);
      await sql\`create index next_index on tags (digest, name)\`.execute(db);
    },
  };
}
`;
