import type { Queries } from '../../platform/database/database.ts';
import { storedBytes } from '../registries/usage.ts';
import { type Grain, keptMicros, type Metric, startOf } from './metric.ts';
import { joined, type Measured, type StoredValue, valuesOf } from './metric-store.ts';

export type MetricQuestion = {
  readonly registryUid: string;
  readonly metrics: readonly Metric[];
  readonly fromMicros: number;
  readonly toMicros: number;
  /** Undefined: the whole time as one. */
  readonly intervalMicros: number | undefined;
  readonly nowMicros: number;
};

/** What was measured in the interval that begins at `atMicros`; undefined where nothing was. */
export type MetricPoint = { readonly atMicros: number; readonly measured: Measured | undefined };

export type MetricAnswer = {
  /** The interval that the points have: none is finer than what is kept. */
  readonly intervalMicros: number | undefined;
  readonly fromMicros: number;
  readonly series: readonly { readonly metric: Metric; readonly points: readonly MetricPoint[] }[];
};

/** Reads what was measured of a registry, in intervals that begin with the time asked for. */
export async function answerMetrics(queries: Queries, question: MetricQuestion): Promise<MetricAnswer> {
  const { registryUid, metrics, toMicros } = question;
  const { grain, fromMicros, intervalMicros } = resolutionOf(question);
  const names = metrics.map(({ name }) => name);
  const values = await valuesOf(queries, { registryUid, metrics: names, grain, fromMicros, toMicros });
  const isStorageAsked = names.includes('StorageUsed');
  const present = isStorageAsked ? await presentStorage(queries, question, values) : [];
  const all = [...values, ...present];
  return {
    intervalMicros,
    fromMicros,
    series: metrics.map((metric) => ({
      metric,
      points: pointsOf(
        all.filter((value) => value.metric === metric.name),
        { fromMicros, toMicros, stepMicros: intervalMicros ?? Math.max(1, toMicros - fromMicros) },
      ),
    })),
  };
}

/** Minutes for what is asked by minutes and young enough; hours else, from the beginning of one. */
function resolutionOf({ metrics, fromMicros, intervalMicros, nowMicros }: MetricQuestion) {
  const isYoung = fromMicros >= nowMicros - keptMicros[60];
  const isByHour = metrics.some(({ grainSeconds }) => grainSeconds === 3_600);
  const grain: Grain = isYoung && !isByHour ? 60 : 3_600;
  return {
    grain,
    fromMicros: startOf(grain, fromMicros),
    intervalMicros: intervalMicros === undefined ? undefined : Math.max(intervalMicros, grain * 1_000_000),
  };
}

/** Storage is measured every few minutes: until it is for the first time in an hour, what is there now counts. */
async function presentStorage(
  queries: Queries,
  { registryUid, nowMicros, toMicros }: MetricQuestion,
  values: readonly StoredValue[],
): Promise<StoredValue[]> {
  const atMicros = startOf(3_600, nowMicros);
  const isMeasured = values.some((value) => value.metric === 'StorageUsed' && value.atMicros === atMicros);
  if (isMeasured || toMicros <= atMicros) return [];
  const bytes = await storedBytes(queries, registryUid);
  return [{ metric: 'StorageUsed', atMicros, total: bytes, count: 1, minimum: bytes, maximum: bytes }];
}

type Steps = { readonly fromMicros: number; readonly toMicros: number; readonly stepMicros: number };

export function pointsOf(values: readonly StoredValue[], { fromMicros, toMicros, stepMicros }: Steps): MetricPoint[] {
  const byStep = Map.groupBy(values, ({ atMicros }) => Math.floor((atMicros - fromMicros) / stepMicros));
  const steps = Math.ceil((toMicros - fromMicros) / stepMicros);
  return Array.from({ length: steps }, (_, step) => ({
    atMicros: fromMicros + step * stepMicros,
    measured: byStep
      .get(step)
      ?.reduce<Measured | undefined>((sum, value) => (sum === undefined ? value : joined(sum, value)), undefined),
  }));
}
