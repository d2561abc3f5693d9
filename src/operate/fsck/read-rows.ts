import type { RowSource, Value } from '../rows.ts';

/** A row by the names of its columns. */
export class NamedRow {
  readonly #values: readonly Value[];
  readonly #places: ReadonlyMap<string, number>;

  constructor(values: readonly Value[], places: ReadonlyMap<string, number>) {
    this.#values = values;
    this.#places = places;
  }

  text(column: string): string {
    const value = this.#value(column);
    if (typeof value !== 'string') throw new TypeError(`the column ${column} holds no text`);
    return value;
  }

  number(column: string): number {
    const value = this.#value(column);
    if (typeof value !== 'number') throw new TypeError(`the column ${column} holds no number`);
    return value;
  }

  bytes(column: string): Uint8Array {
    const value = this.#value(column);
    if (!(value instanceof Uint8Array)) throw new TypeError(`the column ${column} holds no bytes`);
    return value;
  }

  #value(column: string): Value {
    const place = this.#places.get(column);
    const value = place === undefined ? undefined : this.#values[place];
    if (value === undefined) throw new TypeError(`there is no column ${column}`);
    return value;
  }
}

/** All rows of a table. Throws when there is no such table. */
export async function* readRows(source: RowSource, name: string): AsyncGenerator<NamedRow> {
  const table = source.tables.find((each) => each.name === name);
  if (table === undefined) throw new Error(`the database has no table ${name}: bring its schema up to date first`);
  const places = new Map(table.columns.map((column, index) => [column, index]));
  for await (const rows of source.rows(table)) for (const row of rows) yield new NamedRow(row, places);
}
