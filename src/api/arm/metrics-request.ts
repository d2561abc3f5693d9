import type { BerthError } from '../../core/errors.ts';
import { type Metric, metricOf, metrics } from '../../features/insight/metric.ts';
import { refuse } from '../../features/resources/refuse.ts';

export const aggregations = ['Average', 'Minimum', 'Maximum', 'Total', 'Count'] as const;
export type Aggregation = (typeof aggregations)[number];

export type MetricsRequest = {
  readonly metrics: readonly Metric[];
  /** Undefined: each metric's own. */
  readonly aggregations: readonly Aggregation[] | undefined;
  readonly fromMicros: number;
  readonly toMicros: number;
  /** Undefined: `FULL`. */
  readonly intervalMicros: number | undefined;
  /** Locations that are asked for one by one; undefined when they are not told apart. */
  readonly geolocation: string | undefined;
  readonly isMetadataOnly: boolean;
};

/** As Azure Monitor names them. */
export const intervals: ReadonlyMap<string, number> = new Map(
  [
    ['PT1M', 1],
    ['PT5M', 5],
    ['PT15M', 15],
    ['PT30M', 30],
    ['PT1H', 60],
    ['PT6H', 360],
    ['PT12H', 720],
    ['P1D', 1_440],
  ].map(([name, minutes]): [string, number] => [String(name), Number(minutes) * 60_000_000]),
);

const hourMicros = 3_600_000_000;
const longestMicros = 93 * 24 * hourMicros;
const mostPoints = 20_000;

/**
 * The query of `az monitor metrics list`. Throws `requestInvalid`, naming what would be valid.
 * Source: Azure Monitor REST API 2018-01-01, "Metrics - List"; recorded from az 2.45 and 2.91.
 */
export function parseMetricsRequest(query: (name: string) => string | undefined, nowMicros: number): MetricsRequest {
  const asked = metricsOf(query('metricnames'));
  const { fromMicros, toMicros } = parseTimespan(query('timespan'), nowMicros);
  const intervalMicros = parseInterval(query('interval'));
  if ((toMicros - fromMicros) / (intervalMicros ?? hourMicros) > mostPoints)
    throw invalid(`The time span has more than ${mostPoints} intervals: ask for a longer interval.`);
  const namespace = query('metricnamespace');
  if (namespace !== undefined && namespace.toLowerCase() !== metricNamespace.toLowerCase())
    throw invalid(`The metric namespace '${shown(namespace)}' does not exist here; there is ${metricNamespace}.`);
  return {
    metrics: asked,
    aggregations: parseAggregations(query('aggregation')),
    fromMicros,
    toMicros,
    intervalMicros,
    geolocation: parseFilter(query('$filter'), asked),
    isMetadataOnly: query('resultType')?.toLowerCase() === 'metadata',
  };
}

export const metricNamespace = 'Microsoft.ContainerRegistry/registries';

function metricsOf(names: string | undefined): Metric[] {
  const asked = (names ?? '').split(',').filter((name) => name !== '');
  // As Azure does: without a name, the first there is.
  if (asked.length === 0) return metrics.slice(0, 1);
  const found = asked.map((name) => {
    const metric = metricOf(name.trim());
    if (metric !== undefined) return metric;
    throw invalid(
      `Failed to find metric configuration for provider: Microsoft.ContainerRegistry, resource Type: registries, ` +
        `metric: ${shown(name)}, Valid metrics: ${metrics.map((each) => each.name).join(',')}`,
    );
  });
  return [...new Set(found)];
}

/** `start/end`, which `az` encodes twice; without a zone the times are UTC. The last hour when nothing is said. */
export function parseTimespan(text: string | undefined, nowMicros: number) {
  if (text === undefined) return { fromMicros: nowMicros - hourMicros, toMicros: nowMicros };
  const [from, to, ...rest] = decoded(text)
    .split('/')
    .map((each) => parseTime(each));
  if (from === undefined || to === undefined || rest.length > 0)
    throw invalid(`The time span '${shown(text)}' is not of the form 2030-01-31T00:00:00Z/2030-01-31T01:00:00Z.`);
  if (from >= to) throw invalid(`The time span '${shown(text)}' ends before it begins.`);
  if (to - from > longestMicros) throw invalid('The time span is longer than 93 days, after which values leave.');
  return { fromMicros: from, toMicros: to };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray percent sign: told as any other malformed time.
    return text;
  }
}

function parseTime(text: string): number | undefined {
  const found = /^(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?)(Z|[+-]\d\d:\d\d)?$/i.exec(text.replace(' ', '+'));
  if (found === null) return undefined;
  const [, time = '', zone = 'Z'] = found;
  // Ticks of 100 ns, which some clients send, are more than a date holds.
  const ms = Date.parse(`${time.replace(/(\.\d{3})\d+$/, '$1')}${zone.toUpperCase()}`);
  return Number.isNaN(ms) ? undefined : ms * 1_000;
}

function parseInterval(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return 60_000_000;
  if (text.toUpperCase() === 'FULL') return undefined;
  const micros = intervals.get(text.toUpperCase());
  if (micros !== undefined) return micros;
  throw invalid(`The interval '${shown(text)}' is none of ${[...intervals.keys()].join(', ')}, FULL.`);
}

function parseAggregations(text: string | undefined): Aggregation[] | undefined {
  const asked = (text ?? '').split(',').filter((name) => name !== '');
  if (asked.length === 0) return undefined;
  return asked.map((name) => {
    const found = aggregations.find((each) => each.toLowerCase() === name.trim().toLowerCase());
    if (found !== undefined) return found;
    throw invalid(`The aggregation '${shown(name)}' is none of ${aggregations.join(', ')}.`);
  });
}

function parseFilter(text: string | undefined, asked: readonly Metric[]): string | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const [, dimension = '', value = ''] = /^\s*(\w+)\s+eq\s+'([^']{0,100})'\s*$/.exec(text) ?? [];
  const isKnown = asked.some(({ dimensions }) =>
    dimensions.some((each) => each.toLowerCase() === dimension.toLowerCase()),
  );
  if (isKnown) return value;
  throw invalid(`The filter '${shown(text)}' is not of the form Geolocation eq '*', or no metric asked for has it.`);
}

function invalid(message: string): BerthError {
  return refuse('requestInvalid', { message });
}

function shown(text: string): string {
  return text.slice(0, 100);
}
