import { type Context, Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { answerMetrics } from '../../features/insight/metric-query.ts';
import { registryType } from '../../features/registries/registry.ts';
import { refuse } from '../../features/resources/refuse.ts';
import { idKey, type Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';
import { parseApiVersion } from './api-version.ts';
import type { ArmCaller } from './arm-caller.ts';
import { isArmPath, segmentsOf } from './arm-path.ts';
import { parseMetricsRequest } from './metrics-request.ts';
import { categoriesView, definitionsView, metricsView, namespacesView } from './metrics-view.ts';

export type MetricsParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly tenantUid: string;
  /** Throws `unauthorized`. */
  readonly armCaller: (c: Context<Env>) => Promise<ArmCaller>;
};

type Answer = (parts: MetricsParts, c: Context<Env>, registry: Resource) => Promise<JsonObject> | JsonObject;

/** What Microsoft.Insights answers for a registry, by the last word of the address; its operation as Azure names it. */
const answers: ReadonlyMap<string, { readonly operation: string; readonly answer: Answer }> = new Map([
  ['metrics', { operation: 'Metrics/Read', answer: metricsAnswer }],
  [
    'metricdefinitions',
    { operation: 'MetricDefinitions/Read', answer: (_parts, _c, registry) => definitionsView(registry) },
  ],
  [
    'metricnamespaces',
    { operation: 'MetricNamespaces/Read', answer: (_parts, _c, registry) => namespacesView(registry) },
  ],
  [
    'diagnosticsettingscategories',
    { operation: 'DiagnosticSettingsCategories/Read', answer: (_parts, _c, registry) => categoriesView(registry) },
  ],
] as const satisfies readonly (readonly [string, { readonly operation: string; readonly answer: Answer }])[]);

/**
 * Metrics as Azure Monitor hands them out: `az monitor metrics`. They are no resources: nobody makes them.
 * Source: Azure Monitor REST API; recorded from az 2.45 and 2.91.
 */
export function metricsRoutes(parts: MetricsParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.all('*', async (c, next) => {
    if (!isArmPath(c.req.path)) return await next();
    const segments = segmentsOf(new URL(c.req.url).pathname);
    const found = answers.get(wordOf(segments));
    if (found === undefined) return await next();
    const scope = `/${segments.slice(0, -3).join('/')}`;
    const { require } = await parts.armCaller(c);
    require({ kind: 'operation', operation: `Microsoft.Insights/${found.operation}`, scope });
    parseApiVersion(c.req.query('api-version'));
    if (c.req.method !== 'GET') throw new BerthError('unsupported');
    return c.json(await found.answer(parts, c, await registryAt(parts, scope)));
  });
  return routes;
}

/** Empty for an address that is not below a resource's `providers/Microsoft.Insights`. */
function wordOf(segments: readonly string[]): string {
  const [root = '', ...rest] = segments;
  const [providers = '', namespace = '', word = ''] = rest.slice(-3).map((each) => each.toLowerCase());
  const isHere =
    root.toLowerCase() === 'subscriptions' && providers === 'providers' && namespace === 'microsoft.insights';
  return isHere ? word : '';
}

async function metricsAnswer(
  { database, clock }: MetricsParts,
  c: Context<Env>,
  registry: Resource,
): Promise<JsonObject> {
  const nowMicros = clock.nowMicros();
  const asked = parseMetricsRequest((name) => c.req.query(name), nowMicros);
  const answer = await answerMetrics(database.read, { ...asked, registryUid: registry.uid, nowMicros });
  return metricsView(registry, asked, answer);
}

async function registryAt({ database, tenantUid }: MetricsParts, id: string): Promise<Resource> {
  const resource = await findResource(database.read, tenantUid, id);
  if (resource === undefined) throw missing(id);
  if (idKey(resource.type) === idKey(registryType)) return resource;
  throw refuse('resourceInvalid', {
    message: `Metrics are those of registries, and '${id}' is none.`,
    target: 'scope',
  });
}
