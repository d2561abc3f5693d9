import { type Compilable, CompiledQuery, type RawBuilder, sql } from 'kysely';
import type { Queries } from './database.ts';

/** Runs a query compiled once, on the reading side or inside a transaction; resolves to its first row. */
export type HotQuery<Name extends string, Row> = (
  on: Queries,
  values: Readonly<Record<Name, string>>,
) => Promise<Row | undefined>;

/**
 * Compiles a query of a hot path once: building it through Kysely costs several times what SQLite needs to answer.
 * `build` gets a stand-in text for each named parameter, to be used as the value where the parameter belongs.
 */
export function hotQuery<Name extends string, Row>(
  queries: Queries,
  names: readonly Name[],
  build: (queries: Queries, parameter: (name: Name) => string) => Compilable<Row>,
): HotQuery<Name, Row> {
  const compiled = hotSql(names, build(queries, standIn));
  return async (on, values) => await firstRow<Row>(on, compiled, values);
}

type HotValue = string | number | Uint8Array | null;

/** Stands for a named value of this type; may be used more than once. */
export type Parameter<Name extends string> = <T extends HotValue>(name: Name) => RawBuilder<T>;

/** The same for what a transaction writes; resolves to the first row that the statement returns. */
export type HotStatement<Name extends string, Row> = (
  on: Queries,
  values: Readonly<Record<Name, HotValue>>,
) => Promise<Row | undefined>;

/** Compiles a statement at its first use, once for each kind of database. */
export function hotStatement<Name extends string, Row>(
  names: readonly Name[],
  build: (on: Queries, parameter: Parameter<Name>) => Compilable<Row>,
): HotStatement<Name, Row> {
  const byDatabase = new WeakMap<object, HotSql<Name>>();
  return async (on, values) => {
    const { constructor: database } = on.getExecutor().adapter;
    const known = byDatabase.get(database);
    const compiled =
      known ??
      hotSql(
        names,
        build(on, (name) => sql`${standIn(name)}`),
      );
    if (known === undefined) byDatabase.set(database, compiled);
    return await firstRow<Row>(on, compiled, values);
  };
}

type HotSql<Name extends string> = {
  readonly sql: string;
  readonly order: readonly (Name | { readonly value: unknown })[];
};

function hotSql<Name extends string>(names: readonly Name[], query: Compilable): HotSql<Name> {
  const compiled = query.compile();
  const order = compiled.parameters.map((value) => names.find((name) => standIn(name) === value) ?? { value });
  return { sql: compiled.sql, order };
}

function standIn(name: string): string {
  return `\u0000${name}`;
}

async function firstRow<Row>(on: Queries, compiled: HotSql<string>, values: Readonly<Record<string, HotValue>>) {
  const parameters = compiled.order.map((entry) => (typeof entry === 'object' ? entry.value : values[entry]));
  const { rows } = await on.executeQuery<Row>(CompiledQuery.raw(compiled.sql, parameters));
  return rows[0];
}
