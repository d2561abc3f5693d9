import { type Compilable, CompiledQuery, type RawBuilder, sql } from 'kysely';
import type { Queries } from './database.ts';
import { type Answer, sendAhead } from './send-ahead.ts';

/** Runs a query compiled once, on the reading side or inside a transaction; resolves to its first row. */
export type HotQuery<Name extends string, Row> = {
  (on: Queries, values: Readonly<Record<Name, string>>): Promise<Row | undefined>;
  /** As `sendAhead`, inside a transaction. */
  readonly ahead: (on: Queries, values: Readonly<Record<Name, string>>) => Promise<Answer<Row>>;
};

/**
 * Compiles a query of a hot path once: building it through Kysely costs several times what SQLite needs to answer.
 * `build` gets a stand-in text for each named parameter, to be used as the value where the parameter belongs.
 */
export function hotQuery<Name extends string, Row>(
  queries: Queries,
  names: readonly Name[],
  build: (queries: Queries, parameter: (name: Name) => string) => Compilable<Row>,
): HotQuery<Name, Row> {
  const compiled = hotSql(
    names.map((name) => ({ name })),
    build(queries, standIn),
  );
  return Object.assign(
    async (on: Queries, values: Readonly<Record<Name, string>>) =>
      (await on.executeQuery<Row>(filled(compiled, values, []))).rows[0],
    {
      ahead: async (on: Queries, values: Readonly<Record<Name, string>>) =>
        await sendAhead<Row>(on, filled(compiled, values, [])),
    },
  );
}

type HotValue = string | number | Uint8Array | null;

/** Stands for a named value of this type; may be used more than once. */
export type Parameter<Name extends string> = <T extends HotValue>(name: Name) => RawBuilder<T>;

/** The same for what a transaction writes; resolves to the first row that the statement returns. */
export type HotStatement<Name extends string, Row> = {
  (on: Queries, values: Readonly<Record<Name, HotValue>>): Promise<Row | undefined>;
  /** As `sendAhead`. */
  readonly ahead: (on: Queries, values: Readonly<Record<Name, HotValue>>) => Promise<Answer<Row>>;
};

/** Compiles a statement at its first use, once for each kind of database. */
export function hotStatement<Name extends string, Row>(
  names: readonly Name[],
  build: (on: Queries, parameter: Parameter<Name>) => Compilable<Row>,
): HotStatement<Name, Row> {
  const rows = hotRows(names, [], build);
  return Object.assign(
    async (on: Queries, values: Readonly<Record<Name, HotValue>>) => (await rows(on, values, []))[0],
    { ahead: async (on: Queries, values: Readonly<Record<Name, HotValue>>) => await rows.ahead(on, values, []) },
  );
}

/** A statement that takes any number of items besides, and resolves to all rows that it returns. */
export type HotRows<Name extends string, ItemName extends string, Row> = {
  (...call: RowsCall<Name, ItemName>): Promise<Row[]>;
  /** As `sendAhead`. */
  readonly ahead: (...call: RowsCall<Name, ItemName>) => Promise<Answer<Row>>;
};

type RowsCall<Name extends string, ItemName extends string> = readonly [
  on: Queries,
  values: Readonly<Record<Name, HotValue>>,
  items: readonly Readonly<Record<ItemName, HotValue>>[],
];

/** Compiled once for each number of items, where there are not many. `items` of `build` has the parameters of each. */
export function hotRows<Name extends string, ItemName extends string, Row>(
  names: readonly Name[],
  itemNames: readonly ItemName[],
  build: (on: Queries, parameter: Parameter<Name>, items: readonly Parameter<ItemName>[]) => Compilable<Row>,
): HotRows<Name, ItemName, Row> {
  const byDatabase = new WeakMap<object, HotSql[]>();
  const compile = (on: Queries, count: number) => {
    const indexes = Array.from({ length: count }, (_, index) => index);
    const ofItems = indexes.map(
      (index): Parameter<ItemName> =>
        (name) =>
          sql`${itemStandIn(index, name)}`,
    );
    const standIns = [
      ...names.map((name) => ({ name })),
      ...indexes.flatMap((index) => itemNames.map((name) => ({ index, name }))),
    ];
    return hotSql(
      standIns,
      build(on, (name) => sql`${standIn(name)}`, ofItems),
    );
  };
  const compiledFor = (...[on, values, items]: RowsCall<Name, ItemName>) => {
    const { constructor: database } = on.getExecutor().adapter;
    const known = byDatabase.get(database) ?? [];
    const compiled = known[items.length] ?? compile(on, items.length);
    if (items.length <= mostItemsKept) {
      known[items.length] = compiled;
      byDatabase.set(database, known);
    }
    return filled(compiled, values, items);
  };
  return Object.assign(
    async (...call: RowsCall<Name, ItemName>) => (await call[0].executeQuery<Row>(compiledFor(...call))).rows,
    { ahead: async (...call: RowsCall<Name, ItemName>) => await sendAhead<Row>(call[0], compiledFor(...call)) },
  );
}

/** The same parameter of all items, for a list of values. */
export function ofEach<ItemName extends string>(
  items: readonly Parameter<ItemName>[],
  name: ItemName,
): RawBuilder<string>[] {
  return items.map((item) => item<string>(name));
}

/** Statements for more are rare, and building them costs less than running them. */
const mostItemsKept = 64;

type StandIn = { readonly name: string; readonly index?: number };

type HotSql = { readonly sql: string; readonly order: readonly (StandIn | { readonly value: unknown })[] };

function hotSql(standIns: readonly StandIn[], query: Compilable): HotSql {
  const compiled = query.compile();
  const byText = new Map<unknown, StandIn>(
    standIns.map((entry) => [
      entry.index === undefined ? standIn(entry.name) : itemStandIn(entry.index, entry.name),
      entry,
    ]),
  );
  return { sql: compiled.sql, order: compiled.parameters.map((value) => byText.get(value) ?? { value }) };
}

function standIn(name: string): string {
  return `\u0000${name}`;
}

function itemStandIn(index: number, name: string): string {
  return `\u0000${index}\u0000${name}`;
}

type HotValues = Readonly<Record<string, HotValue>>;

function filled(compiled: HotSql, values: HotValues, items: readonly HotValues[]): CompiledQuery {
  const parameters = compiled.order.map((entry) => {
    if ('value' in entry) return entry.value;
    return entry.index === undefined ? values[entry.name] : items[entry.index]?.[entry.name];
  });
  return CompiledQuery.raw(compiled.sql, parameters);
}
