import { BlockList } from 'node:net';
import { type Context, Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Env } from './env.ts';
import { isLocalHost } from './host-name.ts';
import type { Metrics } from './metrics.ts';

export type HealthParts = {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** By what a person calls it; each throws when that part cannot be used. */
  readonly checks: Readonly<Record<string, () => Promise<unknown>>>;
  readonly isStopping: () => boolean;
  /** No `/metrics` here when it has a listener of its own. */
  readonly hasMetricsListener: boolean;
};

const checkTimeoutMs = 5_000;

/** `/healthz`: the process is alive. `/readyz`: what it needs is reachable. `/metrics`: for callers on this machine. */
export function healthRoutes(parts: HealthParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get('/healthz', (c) => c.text('ok\n'));
  routes.get('/readyz', async (c) => {
    if (parts.isStopping()) return c.json({ server: 'stopping' }, 503);
    const results = await Promise.all(Object.entries(parts.checks).map((check) => outcome(parts, check)));
    return c.json(Object.fromEntries(results), results.every(([, result]) => result === 'ok') ? 200 : 503);
  });
  if (!parts.hasMetricsListener) {
    routes.get('/metrics', (c) => {
      if (!isCallerLocal(c)) throw new BerthError('routeUnknown');
      return renderMetrics(c, parts.metrics);
    });
  }
  return routes;
}

/** The app of a listener that serves nothing but `/metrics`, to whoever reaches it. */
export function metricsApp(metrics: Metrics): Hono<Env> {
  return new Hono<Env>().get('/metrics', (c) => renderMetrics(c, metrics));
}

async function renderMetrics(c: Context<Env>, metrics: Metrics): Promise<Response> {
  return c.body(await metrics.render(), 200, { 'Content-Type': metrics.contentType });
}

async function outcome(
  { clock, log }: HealthParts,
  [name, check]: [string, () => Promise<unknown>],
): Promise<[string, 'ok' | 'failed']> {
  const done = new AbortController();
  const late = clock.sleep(checkTimeoutMs, done.signal).then(() => {
    throw new Error(`no answer in ${checkTimeoutMs} ms`);
  });
  late.catch(() => {
    // Aborted below, when the check came first.
  });
  try {
    await Promise.race([check(), late]);
    return [name, 'ok'];
  } catch (error) {
    log.warn('not ready', { part: name, error });
    return [name, 'failed'];
  } finally {
    done.abort();
  }
}

/** Builds on this machine come from another one of 127.0.0.0/8 (src/agent/executors/relay.ts). */
const thisMachine = new BlockList();
thisMachine.addAddress('127.0.0.1', 'ipv4');
thisMachine.addAddress('::1', 'ipv6');

/** From this machine and for this machine: neither a build, nor through a proxy beside us, nor by a public name. */
function isCallerLocal(c: Context<Env>): boolean {
  const { address } = c.var.call;
  const isLoopback = thisMachine.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
  const isForwarded = c.req.header('x-forwarded-for') !== undefined || c.req.header('forwarded') !== undefined;
  return isLoopback && !isForwarded && isLocalHost(c.req.header('host') ?? '');
}
