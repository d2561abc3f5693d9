import { type Connection, Query } from 'pg';

/** A statement with its values. Under a `name` a connection prepares it once; without one the server parses it each time. */
export type Statement = {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly name: string | undefined;
};

type Row = readonly (string | null)[];

/** `count` is how many rows were found or changed. */
export type StatementResult = {
  readonly count: number;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
};

/** Throws what the reader of a type throws. */
export function rowsOf({ columns, rows }: StatementResult): Record<string, unknown>[] {
  return rows.map((texts) => {
    const row: Record<string, unknown> = {};
    columns.forEach(({ name, read }, index) => {
      const text = texts[index] ?? null;
      row[name] = text === null ? null : read(text);
    });
    return row;
  });
}

/** From the text of a value to the value, by the number of its type. */
export type ReadValue = (text: string) => unknown;
type Column = { readonly name: string; readonly read: ReadValue };

/** What one connection has prepared: the columns of each statement by its name. The server says so when they change. */
export class PreparedStatements {
  readonly #columns = new Map<string, readonly Column[]>();
  /** Sent to be prepared; nobody has seen them run. */
  readonly #unsure = new Set<string>();
  readonly #readerOf: (type: number) => ReadValue;

  constructor(readerOf: (type: number) => ReadValue) {
    this.#readerOf = readerOf;
  }

  columnsOf(name: string | undefined): readonly Column[] | undefined {
    return name === undefined ? undefined : this.#columns.get(name);
  }

  /** True where the server may have a statement of this name, from a batch that failed. */
  willPrepare(name: string): boolean {
    if (this.#unsure.has(name)) return true;
    this.#unsure.add(name);
    return false;
  }

  ran(name: string | undefined, columns: readonly Column[]): void {
    if (name === undefined || !this.#unsure.delete(name)) return;
    this.#columns.set(name, columns);
  }

  read(fields: RowDescription['fields']): Column[] {
    return fields.map(({ name, dataTypeID }) => ({ name, read: this.#readerOf(dataTypeID) }));
  }
}

/** Messages of the driver, as far as they are used here. */
type RowDescription = { readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[] };
type DataRow = { readonly fields: Row };
type CommandComplete = { readonly text: string };

/**
 * Statements that go to the server in one piece and are answered in one: it is asked once, at the end, to tell that it is done, and what
 * follows a failed statement is not run. The columns of a statement are asked for at its first run on the connection.
 * Source: https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
 */
export class StatementBatch extends Query {
  /** For the driver: so long the answer may take, in milliseconds. */
  readonly query_timeout: number | undefined;
  readonly results: StatementResult[] = [];
  readonly #statements: readonly Statement[];
  readonly #values: readonly Bindable[][];
  readonly #prepared: PreparedStatements;
  #columns: readonly Column[] | undefined;
  #rows: Row[] = [];

  /** `done` is called once: with an error, or when all `results` are here. Throws TypeError for a value that no column takes. */
  constructor(
    statements: readonly Statement[],
    { prepared, timeoutMs }: { readonly prepared: PreparedStatements; readonly timeoutMs: number | undefined },
    done: (error: Error | null | undefined) => void,
  ) {
    super('', done);
    this.#statements = statements;
    this.#values = statements.map(({ values }) => values.map(bindable));
    this.#prepared = prepared;
    this.query_timeout = timeoutMs;
  }

  /** For the driver: has `prepare` called. */
  requiresPreparation(): boolean {
    return true;
  }

  /** For the driver, which sends what is written here together. */
  prepare(connection: Connection): void {
    for (const [index, { name = '', text }] of this.#statements.entries()) {
      const isKnown = this.#prepared.columnsOf(name) !== undefined;
      if (!isKnown) this.#parse(connection, name, text, index);
      connection.bind({ statement: name, values: this.#values[index] }, true);
      if (!isKnown) connection.describe({ type: 'P' }, true);
      connection.execute(null, true);
    }
    connection.sync();
  }

  #parse(connection: Connection, name: string, text: string, index: number): void {
    if (name !== '') {
      if (this.#statements.slice(0, index).some((earlier) => earlier.name === name)) return;
      if (this.#prepared.willPrepare(name)) connection.close({ type: 'S', name }, true);
    }
    connection.parse({ name, text, types: [] }, true);
  }

  handleRowDescription({ fields }: RowDescription): void {
    this.#columns = this.#prepared.read(fields);
  }

  handleDataRow({ fields }: DataRow): void {
    this.#rows.push(fields);
  }

  handleCommandComplete({ text }: CommandComplete): void {
    const { name } = this.#statements[this.results.length] ?? {};
    const columns = this.#columns ?? this.#prepared.columnsOf(name) ?? [];
    this.#prepared.ran(name, columns);
    this.results.push({ count: Number(/\d+$/.exec(text)?.[0] ?? 0), columns, rows: this.#rows });
    this.#columns = undefined;
    this.#rows = [];
  }
}

type Bindable = string | Buffer | null;

function bindable(value: unknown): Bindable {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError(`a parameter of a statement is of type ${typeof value}, which no column takes`);
}
