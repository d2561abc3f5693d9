/** A table as both kinds of database have it; values of a row come in the order of `columns`. */
export type Table = { readonly name: string; readonly columns: readonly string[] };
/** Texts, numbers, bytes and null: what the schema is made of. */
export type Value = string | number | Uint8Array | null;
export type Row = readonly Value[];

/** A database as it was at one moment; others go on writing to it meanwhile. */
export type RowSource = {
  readonly tables: readonly Table[];
  /** Names of the migrations it has seen, in order. */
  readonly migrations: readonly string[];
  /** All rows of a table, some at a time. */
  readonly rows: (table: Table) => AsyncIterable<readonly Row[]>;
  readonly close: () => Promise<void>;
};

/** What becomes of the rows once they are all there, in the transaction that wrote them. */
export type Afterwards = (query: (sql: string) => Promise<void>) => Promise<void>;

/** A database whose schema is up to date. */
export type RowSink = {
  readonly migrations: readonly string[];
  /** Puts the rows of `source` in place of its own, in one transaction. Resolves to how many there are by table. */
  readonly replaceAll: (source: RowSource, afterwards: Afterwards) => Promise<ReadonlyMap<string, number>>;
  readonly close: () => Promise<void>;
};

/** Tables that belong to the tool that migrates. */
export function isOfMigrator(table: string): boolean {
  return table.startsWith('kysely_');
}

/** Throws where the migrations of a source and a sink differ; a sink has those of this program. */
export function requireSameSchema(source: Pick<RowSource, 'migrations'>, sink: Pick<RowSink, 'migrations'>): void {
  const unknown = source.migrations.find((name) => !sink.migrations.includes(name));
  if (unknown !== undefined)
    throw new Error(
      `the database was written by a newer version of Berth (its schema has "${unknown}", which this program does not know): ` +
        'run this command with the newer program',
    );
  const missing = sink.migrations.find((name) => !source.migrations.includes(name));
  if (missing !== undefined)
    throw new Error(`the schema of the database lacks "${missing}": run "berth migrate-database" on it first`);
}

/** What a driver gave for a column. Throws TypeError for what the schema does not hold. */
export function readValue(value: unknown): Value {
  if (value === null || typeof value === 'string' || typeof value === 'number') return value;
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`a column holds a ${typeof value}`);
}

/** A name of the schema as SQL has it. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
