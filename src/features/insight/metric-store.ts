import { sql } from 'kysely';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { type Grain, grains, keptMicros, type MetricName, startOf } from './metric.ts';

/** Sum, number, smallest and largest of what was measured. */
export type Measured = {
  readonly total: number;
  readonly count: number;
  readonly minimum: number;
  readonly maximum: number;
};

/** What was measured of a registry in the minute that begins at `atMicros`. */
export type MinuteValue = Measured & {
  readonly registryUid: string;
  readonly metric: MetricName;
  readonly atMicros: number;
};

/** What was measured in the minute or hour that begins at `atMicros`. */
export type StoredValue = Measured & { readonly metric: string; readonly atMicros: number };

const rowsPerInsert = 100;
const expiredAtOnce = 1_000;

export function joined(a: Measured, b: Measured): Measured {
  return {
    total: a.total + b.total,
    count: a.count + b.count,
    minimum: Math.min(a.minimum, b.minimum),
    maximum: Math.max(a.maximum, b.maximum),
  };
}

/** Adds values to the rows of their minutes and hours, whoever else adds to them. */
export async function addValues(tx: Transaction, values: readonly MinuteValue[]): Promise<void> {
  const rows = grains.flatMap((grain) => rowsOf(grain, values));
  for (let at = 0; at < rows.length; at += rowsPerInsert) {
    await tx
      .insertInto('metric_values')
      .values(rows.slice(at, at + rowsPerInsert))
      .onConflict((conflict) =>
        conflict.columns(['registry_uid', 'metric', 'grain_seconds', 'at']).doUpdateSet({
          total: sql`metric_values.total + excluded.total`,
          count: sql`metric_values.count + excluded.count`,
          minimum: sql`case when excluded.minimum < metric_values.minimum then excluded.minimum else metric_values.minimum end`,
          maximum: sql`case when excluded.maximum > metric_values.maximum then excluded.maximum else metric_values.maximum end`,
        }),
      )
      .execute();
  }
}

/** In one order for everybody: two processes that add at the same time then wait for each other in turn. */
function rowsOf(grain: Grain, values: readonly MinuteValue[]) {
  const rows = new Map<string, MinuteValue>();
  for (const value of values) {
    const atMicros = startOf(grain, value.atMicros);
    const key = JSON.stringify([value.registryUid, value.metric, atMicros]);
    const known = rows.get(key);
    rows.set(key, { ...value, atMicros, ...(known === undefined ? {} : joined(known, value)) });
  }
  return [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { registryUid, metric, atMicros, total, count, minimum, maximum }]) => ({
      registry_uid: registryUid,
      metric,
      grain_seconds: grain,
      at: atMicros,
      total,
      count,
      minimum,
      maximum,
    }));
}

export type ValuesAsked = {
  readonly registryUid: string;
  readonly metrics: readonly MetricName[];
  readonly grain: Grain;
  readonly fromMicros: number;
  readonly toMicros: number;
};

/** What was measured from `fromMicros` on and before `toMicros`, oldest first. */
export async function valuesOf(queries: Queries, asked: ValuesAsked): Promise<StoredValue[]> {
  return await queries
    .selectFrom('metric_values')
    .select(['metric', 'at as atMicros', 'total', 'count', 'minimum', 'maximum'])
    .where('registry_uid', '=', asked.registryUid)
    .where('metric', 'in', asked.metrics)
    .where('grain_seconds', '=', asked.grain)
    .where('at', '>=', asked.fromMicros)
    .where('at', '<', asked.toMicros)
    .orderBy('at')
    .execute();
}

/** Removes what is kept no longer, at most so many rows of each grain; answers whether there may be more. */
export async function expireValues(database: Database, nowMicros: number): Promise<boolean> {
  let isMore = false;
  for (const grain of grains) {
    const removed = await database.transaction(async (tx) => {
      const old = await tx
        .selectFrom('metric_values')
        .select(['registry_uid', 'metric', 'at'])
        .where('grain_seconds', '=', grain)
        .where('at', '<', nowMicros - keptMicros[grain])
        .orderBy('at')
        .limit(expiredAtOnce)
        .execute();
      for (const row of old)
        await tx
          .deleteFrom('metric_values')
          .where('registry_uid', '=', row.registry_uid)
          .where('metric', '=', row.metric)
          .where('grain_seconds', '=', grain)
          .where('at', '=', row.at)
          .execute();
      return old.length;
    });
    isMore ||= removed === expiredAtOnce;
  }
  return isMore;
}
