import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { databaseMetrics, loadMetrics, type RegistrySources, registryMetrics } from './metrics-registries.ts';

/** One finished exchange, as the metrics count it. Bytes as they went over the connection. */
export type Exchange = {
  readonly method: string;
  /** `routePattern` of the path. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
};

export type MetricsList = Readonly<Record<string, unknown>>[];

export type Metrics = {
  readonly begin: () => void;
  readonly end: (exchange: Exchange) => void;
  /** All metrics in the Prometheus text form. */
  readonly render: () => Promise<string>;
  /** The same as values: what `summedMetrics` takes. */
  readonly list: () => Promise<MetricsList>;
  readonly contentType: string;
};

const bucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600];
const methods = ['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'];

export type MetricsSources = {
  /** Log lines that nobody took in time, since the start. */
  readonly droppedLogLines: () => number;
  /** Absent where there is no registry to tell of. */
  readonly ofRegistries?: RegistrySources;
};

/** Node's own that are named against the rules of Prometheus, and say the same as `nodejs_active_*`. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** Counts and times requests, beside what registries are used for and Node's own figures. */
export function createMetrics({ droppedLogLines, ofRegistries }: MetricsSources): Metrics {
  const register = new Registry();
  const registers = [register];
  collectDefaultMetrics({ register });
  for (const name of misnamed) register.removeSingleMetric(name);
  if (ofRegistries !== undefined) {
    registryMetrics(register, ofRegistries);
    loadMetrics(register, ofRegistries.load);
    databaseMetrics(register, ofRegistries.databaseUse);
  }
  new Gauge({
    name: 'berth_log_dropped_lines',
    help: 'Log lines dropped because their reader was gone or too slow',
    registers,
    collect() {
      this.set(droppedLogLines());
    },
  });
  const inFlight = new Gauge({ name: 'berth_http_in_flight', help: 'Requests being answered', registers });
  const labelNames = ['method', 'route', 'status'] as const;
  const duration = new Histogram({
    name: 'berth_http_request_seconds',
    help: 'Time from the first byte of a request to the end of its answer',
    labelNames,
    buckets: bucketsSeconds,
    registers,
  });
  const received = new Counter({ name: 'berth_http_received_bytes_total', help: 'Bytes of requests', registers });
  const sent = new Counter({ name: 'berth_http_sent_bytes_total', help: 'Bytes of answers', registers });
  const timers = new Map<string, { observe: (seconds: number) => void }>();
  const timerOf = (method: string, route: string, status: number) => {
    const key = `${method} ${status} ${route}`;
    const known = timers.get(key);
    if (known !== undefined) return known;
    const timer = duration.labels(methods.includes(method) ? method : 'other', route, String(status));
    // Methods come from outside: only those we know are kept.
    if (methods.includes(method)) timers.set(key, timer);
    return timer;
  };
  return {
    begin: () => inFlight.inc(),
    end: (exchange) => {
      inFlight.dec();
      timerOf(exchange.method, exchange.route, exchange.status).observe(exchange.seconds);
      received.inc(exchange.receivedBytes);
      sent.inc(exchange.sentBytes);
    },
    render: () => register.metrics(),
    list: async () => (await register.getMetricsAsJSON()).map((metric) => ({ ...metric })),
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
  };
}

/** The metrics of several processes added up, in the Prometheus text form. */
export async function summedMetrics(lists: readonly MetricsList[]): Promise<string> {
  return await AggregatorRegistry.aggregate([...lists]).metrics();
}
