/** What is measured of a registry, by the names that Azure Monitor has for it. Source: ACR semantics, "Metrics". */
export const metricNames = [
  'StorageUsed',
  'TotalPullCount',
  'SuccessfulPullCount',
  'TotalPushCount',
  'SuccessfulPushCount',
  'RunDuration',
  'AgentPoolCPUTime',
] as const;
export type MetricName = (typeof metricNames)[number];

export type Metric = {
  readonly name: MetricName;
  readonly title: string;
  readonly description: string;
  readonly unit: 'Bytes' | 'Count' | 'MilliSeconds' | 'Seconds';
  /** What is shown when nothing else is asked for. */
  readonly aggregation: 'Average' | 'Total';
  /** The finest it is kept in. */
  readonly grainSeconds: 60 | 3_600;
  readonly dimensions: readonly string[];
};

const counted = { unit: 'Count', aggregation: 'Total', grainSeconds: 60, dimensions: [] } as const;

export const metrics: readonly Metric[] = [
  {
    name: 'StorageUsed',
    title: 'Storage used',
    description: 'The amount of storage used by the container registry.',
    unit: 'Bytes',
    aggregation: 'Average',
    grainSeconds: 3_600,
    dimensions: ['Geolocation'],
  },
  { ...counted, name: 'TotalPullCount', title: 'Total Pull Count', description: 'Number of image pulls in total' },
  {
    ...counted,
    name: 'SuccessfulPullCount',
    title: 'Successful Pull Count',
    description: 'Number of successful image pulls',
  },
  { ...counted, name: 'TotalPushCount', title: 'Total Push Count', description: 'Number of image pushes in total' },
  {
    ...counted,
    name: 'SuccessfulPushCount',
    title: 'Successful Push Count',
    description: 'Number of successful image pushes',
  },
  {
    ...counted,
    name: 'RunDuration',
    title: 'Run Duration',
    description: 'Run Duration in milliseconds',
    unit: 'MilliSeconds',
  },
  {
    ...counted,
    name: 'AgentPoolCPUTime',
    title: 'AgentPool CPU Time',
    description: 'AgentPool CPU Time in seconds',
    unit: 'Seconds',
  },
];

export function metricOf(name: string): Metric | undefined {
  return metrics.find((metric) => metric.name.toLowerCase() === name.toLowerCase());
}

/** Minutes are kept for a week, hours for as long as Azure keeps them. */
export const keptMicros = { 60: 7 * 86_400_000_000, 3600: 93 * 86_400_000_000 } as const;
export type Grain = keyof typeof keptMicros;
export const grains: readonly Grain[] = [60, 3_600];

/** Where the minute or hour of an instant begins. */
export function startOf(grain: Grain, atMicros: number): number {
  return atMicros - (atMicros % (grain * 1_000_000));
}
