import { Counter, Gauge, type Registry } from 'prom-client';
import type { LoadSample } from '../../features/insight/load-sample.ts';
import { metrics } from '../../features/insight/metric.ts';
import type { ToldRegistry } from '../../features/insight/registry-totals.ts';
import type { DatabaseUse } from '../../platform/database/database.ts';

/** What is told of registries and of the work that waits. */
export type RegistrySources = {
  /** What this process counted since its start. */
  readonly registries: () => readonly ToldRegistry[];
  readonly load: () => Promise<LoadSample | undefined>;
  /** Of this process, at this moment. */
  readonly databaseUse: () => DatabaseUse;
};

/** What every process reads from the same rows: of several processes one tells it. */
const shared = { aggregator: 'max' } as const;

/** The product's own metrics, by the names that Azure Monitor has for them, for each registry. */
export function registryMetrics(
  register: Registry,
  { registries, load }: Pick<RegistrySources, 'registries' | 'load'>,
): void {
  const registers = [register];
  const labelNames = ['registry'] as const;
  new Gauge({
    ...shared,
    name: 'StorageUsed',
    help: 'Bytes that a registry has in use',
    labelNames,
    registers,
    async collect() {
      const sample = await load();
      this.reset();
      if (sample === undefined) return;
      for (const { uids, name } of registries())
        this.set(
          { registry: name },
          uids.reduce((sum, uid) => sum + (sample.storedBytes.get(uid) ?? 0), 0),
        );
    },
  });
  for (const { name, description, unit } of metrics.filter((metric) => metric.name !== 'StorageUsed'))
    new Counter({
      name,
      help: unit === 'Count' ? description : `${description}, summed up`,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const registry of registries()) this.inc({ registry: registry.name }, registry.total(name));
      },
    });
}

/** What each process asks of the database: of several processes it is added up. */
export function databaseMetrics(register: Registry, use: RegistrySources['databaseUse']): void {
  const registers = [register];
  new Gauge({
    name: 'berth_database_waiting',
    help: 'Who waits: for the writer of SQLite, or for a connection to PostgreSQL',
    registers,
    collect() {
      this.set(use().waiting);
    },
  });
  new Gauge({
    name: 'berth_database_pool_connections',
    help: 'Connections to PostgreSQL of this server, by state: in_use or idle',
    labelNames: ['state'],
    registers,
    collect() {
      const { pool } = use();
      if (pool === undefined) return;
      this.set({ state: 'in_use' }, pool.inUse);
      this.set({ state: 'idle' }, pool.idle);
    },
  });
  new Gauge({
    name: 'berth_database_pool_size',
    help: 'Connections to PostgreSQL that this server may have; 0 with SQLite',
    registers,
    collect() {
      this.set(use().pool?.size ?? 0);
    },
  });
}

/** How much work waits, and how the database does. */
export function loadMetrics(register: Registry, load: RegistrySources['load']): void {
  const gauges: readonly [name: string, help: string, labels: readonly string[], read: Read][] = [
    [
      'berth_jobs',
      'Background jobs by kind and state',
      ['kind', 'state'],
      ({ jobs }) => jobs.map(({ count, ...labels }) => [count, labels]),
    ],
    [
      'berth_jobs_overdue_seconds',
      'For how long the longest waiting job has been due',
      [],
      ({ oldestDueSeconds }) => [[oldestDueSeconds, {}]],
    ],
    [
      'berth_consumer_lag_events',
      'Events that a consumer of the journal has not come to',
      ['consumer'],
      ({ behind }) => behind.map(({ consumer, events }) => [events, { consumer }]),
    ],
    [
      'berth_webhooks_failing',
      'Webhooks and event subscriptions whose last attempt failed',
      [],
      ({ failingWebhooks }) => [[failingWebhooks, {}]],
    ],
    [
      'berth_webhooks_lag_events',
      'Events that webhooks and event subscriptions have not come to, added up',
      [],
      ({ webhooksBehind }) => [[webhooksBehind, {}]],
    ],
    [
      'berth_diagnostics_failing',
      'Diagnostic settings whose last attempt to send logs failed',
      [],
      ({ failingDiagnostics }) => [[failingDiagnostics, {}]],
    ],
    [
      'berth_diagnostics_dropped_lines',
      'Lines of logs that destinations refused for a day and were not sent, of the diagnostic settings that are there',
      [],
      ({ droppedLines }) => [[droppedLines, {}]],
    ],
    [
      'berth_database_connections',
      'Connections to PostgreSQL by state',
      ['state'],
      ({ connections }) => connections.map(({ count, state }) => [count, { state }]),
    ],
    [
      'berth_database_transaction_seconds',
      'What a transaction without any work took: waiting for a connection or the writer, and the commit',
      [],
      ({ transactionSeconds }) => [[transactionSeconds, {}]],
    ],
    [
      'berth_blobs_damaged',
      'Blobs that are set aside because their stored bytes are wrong or missing',
      [],
      ({ damagedBlobs }) => [[damagedBlobs, {}]],
    ],
    [
      'berth_scrub_blobs',
      'Blobs that the present or last walk of the scrub has read',
      [],
      ({ scrub }) => [[scrub?.blobs ?? 0, {}]],
    ],
    [
      'berth_scrub_bytes',
      'Bytes that the present or last walk of the scrub has read',
      [],
      ({ scrub }) => [[scrub?.bytes ?? 0, {}]],
    ],
    [
      'berth_scrub_began_timestamp_seconds',
      'When the present or last walk of the scrub began',
      [],
      ({ scrub }) => (scrub === undefined ? [] : [[scrub.beganAtMicros / 1_000_000, {}]]),
    ],
  ];
  for (const [name, help, labelNames, read] of gauges)
    new Gauge({
      ...shared,
      name,
      help,
      labelNames: [...labelNames],
      registers: [register],
      async collect() {
        const sample = await load();
        this.reset();
        // A database that cannot be read has no figures: a zero would say that all is well.
        if (labelNames.length === 0) this.remove();
        if (sample !== undefined) for (const [value, labels] of read(sample)) this.set(labels, value);
      },
    });
}

type Read = (sample: LoadSample) => readonly (readonly [value: number, labels: Record<string, string>])[];
