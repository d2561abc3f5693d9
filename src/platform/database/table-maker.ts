import { type CreateTableBuilder, type Kysely, type RawBuilder, sql } from 'kysely';
import type { Database } from './database.ts';

/** Type of a column; with `?` it may be null. Text compares by bytes; int64 values stay below 2^53. */
export type ColumnType = 'text' | 'text?' | 'int64' | 'int64?' | 'bytes' | 'bytes?';

type Table = CreateTableBuilder<string, string>;
type BaseType = 'text' | 'int64' | 'bytes';

const columnTypes: Record<Database['kind'], Record<BaseType, RawBuilder<unknown>>> = {
  sqlite: { text: sql`text`, int64: sql`integer`, bytes: sql`blob` },
  postgres: { text: sql`text collate "C"`, int64: sql`bigint`, bytes: sql`bytea` },
};

/** Starts tables in the form each kind of database has them; the caller adds keys and executes. For migrations. */
export class TableMaker {
  readonly #db: Kysely<unknown>;
  readonly #kind: Database['kind'];

  constructor(db: Kysely<unknown>, kind: Database['kind']) {
    this.#db = db;
    this.#kind = kind;
  }

  /** A table; SQLite refuses values of another type than the column's. */
  plain(name: string, columns: Readonly<Record<string, ColumnType>>): Table {
    const table = this.#table(name, columns);
    return this.#kind === 'sqlite' ? table.modifyEnd(sql`strict`) : table;
  }

  /** A table of small rows found by their primary key: SQLite keeps them in the key's own tree. */
  keyed(name: string, columns: Readonly<Record<string, ColumnType>>): Table {
    const table = this.#table(name, columns);
    return this.#kind === 'sqlite' ? table.modifyEnd(sql`strict, without rowid`) : table;
  }

  #table(name: string, columns: Readonly<Record<string, ColumnType>>): Table {
    let table: Table = this.#db.schema.createTable(name);
    for (const [column, type] of Object.entries(columns)) {
      const base = columnTypes[this.#kind][baseOf(type)];
      table = table.addColumn(column, base, (built) => (type.endsWith('?') ? built : built.notNull()));
    }
    return table;
  }
}

function baseOf(type: ColumnType): BaseType {
  if (type.startsWith('text')) return 'text';
  return type.startsWith('int64') ? 'int64' : 'bytes';
}
