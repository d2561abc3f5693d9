import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import {
  isOfMigrator,
  quotedName,
  type Row,
  type RowSink,
  type RowSource,
  readValue,
  requireSameSchema,
  type Table,
} from './rows.ts';

const pageRows = 500;

/** Reads a SQLite file, also beside a running server: one read transaction, which holds nobody up. */
export function openSqliteSource(file: string): RowSource {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    database.exec('begin');
    const tables = tablesOf(database);
    return {
      tables,
      migrations: migrationsOf(database),
      rows: (table) => rowsOf(database, table),
      close: async () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Writes to a SQLite file that nobody else has open; `toOneFile` leaves none beside it, so that it can be renamed. */
export function openSqliteSink(file: string): RowSink & { readonly toOneFile: () => void } {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false, timeout: 5_000 });
  database.exec('pragma synchronous = full');
  const migrations = migrationsOf(database);
  return {
    migrations,
    replaceAll: async (source, afterwards) => {
      requireSameSchema(source, { migrations });
      const counts = new Map<string, number>();
      database.exec('begin immediate');
      try {
        for (const table of source.tables) counts.set(table.name, await replace(database, source, table));
        await afterwards(async (sql) => database.exec(sql));
        database.exec('commit');
      } catch (error) {
        database.exec('rollback');
        throw error;
      }
      return counts;
    },
    toOneFile: () => database.exec('pragma journal_mode = delete'),
    close: async () => database.close(),
  };
}

async function replace(database: DatabaseSync, source: RowSource, table: Table): Promise<number> {
  database.exec(`delete from ${quotedName(table.name)}`);
  const places = table.columns.map(() => '?').join(', ');
  const names = table.columns.map(quotedName).join(', ');
  const insert = database.prepare(`insert into ${quotedName(table.name)} (${names}) values (${places})`);
  let count = 0;
  for await (const rows of source.rows(table)) {
    for (const row of rows) insert.run(...(row satisfies readonly SQLInputValue[]));
    count += rows.length;
  }
  return count;
}

async function* rowsOf(database: DatabaseSync, table: Table): AsyncGenerator<readonly Row[]> {
  const statement = database.prepare(
    `select ${table.columns.map(quotedName).join(', ')} from ${quotedName(table.name)}`,
  );
  let page: Row[] = [];
  for (const found of statement.iterate()) {
    page.push(table.columns.map((column) => readValue(found[column])));
    if (page.length < pageRows) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

function tablesOf(database: DatabaseSync): Table[] {
  const names = database
    .prepare(`select name from sqlite_schema where type = 'table' order by name`)
    .all()
    .map((row) => String(row.name));
  return names
    .filter((name) => !isOfMigrator(name) && !name.startsWith('sqlite_'))
    .map((name) => {
      const columns = database.prepare(`select name from pragma_table_info(?) order by cid`).all(name);
      return { name, columns: columns.map((row) => String(row.name)) };
    });
}

function migrationsOf(database: DatabaseSync): string[] {
  const known = database.prepare(`select 1 from sqlite_schema where name = 'kysely_migration'`).get();
  if (known === undefined) throw new Error('this file is no database of Berth: it has no migrations');
  return database
    .prepare('select name from kysely_migration order by name')
    .all()
    .map((row) => String(row.name));
}
