import { keptMicros, type Metric, metrics } from '../../features/insight/metric.ts';
import type { MetricAnswer, MetricPoint } from '../../features/insight/metric-query.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import { type Aggregation, aggregations, intervals, type MetricsRequest, metricNamespace } from './metrics-request.ts';
import { isoTime } from './resource-view.ts';

/** Source: Azure Monitor REST API 2018-01-01, "Metrics - List". */
export function metricsView(registry: Resource, asked: MetricsRequest, answer: MetricAnswer): JsonObject {
  return {
    cost: 0,
    timespan: `${isoTime(asked.fromMicros)}/${isoTime(asked.toMicros)}`,
    interval: intervalName(answer.intervalMicros),
    namespace: metricNamespace,
    resourceregion: registry.location ?? '',
    value: answer.series.map(({ metric, points }) => ({
      id: `${registry.id}/providers/Microsoft.Insights/metrics/${metric.name}`,
      type: 'Microsoft.Insights/metrics',
      name: { value: metric.name, localizedValue: metric.title },
      displayDescription: metric.description,
      unit: metric.unit,
      timeseries: timeseriesOf(registry, metric, asked, points),
      errorCode: 'Success',
    })),
  };
}

/** A registry has one location: told apart, there is one series, or none of another place. */
function timeseriesOf(
  { location = '' }: Resource,
  metric: Metric,
  asked: MetricsRequest,
  points: readonly MetricPoint[],
): JsonObject[] {
  const isApart = asked.geolocation !== undefined && metric.dimensions.length > 0;
  if (isApart && ![location, '*'].includes(asked.geolocation?.toLowerCase() ?? '')) return [];
  const name = { value: 'geolocation', localizedValue: 'geolocation' };
  const shown = asked.aggregations ?? [metric.aggregation];
  return [
    {
      metadatavalues: isApart ? [{ name, value: location }] : [],
      data: asked.isMetadataOnly ? [] : points.map((point) => pointView(point, shown)),
    },
  ];
}

/** Where nothing was counted there is nothing, and that is 0; where nothing was measured there is no value. */
function pointView({ atMicros, measured }: MetricPoint, shown: readonly Aggregation[]): JsonObject {
  const { total = 0, count = 0, minimum = 0, maximum = 0 } = measured ?? {};
  const values: Record<Aggregation, number | undefined> = {
    Total: total,
    Count: count,
    Average: measured && total / count,
    Minimum: measured && minimum,
    Maximum: measured && maximum,
  };
  const told = shown.flatMap((each): [string, number][] => {
    const value = values[each];
    return value === undefined ? [] : [[each.toLowerCase(), value]];
  });
  return { timeStamp: isoTime(atMicros), ...Object.fromEntries(told) };
}

function intervalName(micros: number | undefined): string {
  return [...intervals].find(([, each]) => each === micros)?.[0] ?? 'FULL';
}

/** Source: "Metric Definitions - List". */
export function definitionsView({ id }: Resource): JsonObject {
  return {
    value: metrics.map((metric) => ({
      id: `${id}/providers/microsoft.insights/metricdefinitions/${metric.name}`,
      resourceId: id,
      namespace: metricNamespace,
      name: { value: metric.name, localizedValue: metric.title },
      displayDescription: metric.description,
      isDimensionRequired: false,
      unit: metric.unit,
      primaryAggregationType: metric.aggregation,
      supportedAggregationTypes: [...aggregations],
      metricAvailabilities: [...intervals]
        .filter(([, micros]) => micros >= metric.grainSeconds * 1_000_000)
        .map(([timeGrain]) => ({ timeGrain, retention: `P${keptMicros[3_600] / 86_400_000_000}D` })),
      dimensions: metric.dimensions.map((name) => ({ value: name, localizedValue: name })),
    })),
  };
}

/** Source: "Metric Namespaces - List". */
export function namespacesView({ id }: Resource): JsonObject {
  const name = metricNamespace.replace('/', '-');
  return {
    value: [
      {
        id: `${id}/providers/microsoft.insights/metricNamespaces/${name}`,
        type: 'Microsoft.Insights/metricNamespaces',
        name,
        classification: 'Platform',
        properties: { metricNamespaceName: metricNamespace },
      },
    ],
  };
}

/** What a diagnostic setting can send. Source: "Diagnostic Settings Category - List". */
export function categoriesView({ id }: Resource): JsonObject {
  return {
    value: diagnosticCategories.map(([name, categoryType]) => ({
      id: `${id}/providers/microsoft.insights/diagnosticSettingsCategories/${name}`,
      type: 'microsoft.insights/diagnosticSettingsCategories',
      name,
      properties: { categoryType, categoryGroups: categoryType === 'Logs' ? ['allLogs', 'audit'] : null },
    })),
  };
}

const diagnosticCategories = [
  ['ContainerRegistryRepositoryEvents', 'Logs'],
  ['ContainerRegistryLoginEvents', 'Logs'],
] as const;
