import { type Compilable, CompiledQuery } from 'kysely';
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
  const standIn = (name: Name) => `\u0000${name}`;
  const compiled = build(queries, standIn).compile();
  const order = compiled.parameters.map((value) => names.find((name) => standIn(name) === value) ?? { value });
  return async (on, values) => {
    const parameters = order.map((entry) => (typeof entry === 'object' ? entry.value : values[entry]));
    const { rows } = await on.executeQuery<Row>(CompiledQuery.raw(compiled.sql, parameters));
    return rows[0];
  };
}
