import { Hono } from 'hono';
import { acrRoutes } from './api/acr/acr-routes.ts';
import { accessRoutes } from './api/admin/access-routes.ts';
import { adminRoutes } from './api/admin/admin-routes.ts';
import { agentTokenRoutes } from './api/admin/agent-token-routes.ts';
import { identityBindingRoutes } from './api/admin/identity-binding-routes.ts';
import { lifecycleRoutes } from './api/admin/lifecycle-routes.ts';
import { purgeRoutes } from './api/admin/purge-routes.ts';
import { repositoryTemplateRoutes } from './api/admin/repository-template-routes.ts';
import { retentionRoutes } from './api/admin/retention-routes.ts';
import { signingKeyRoutes } from './api/admin/signing-key-routes.ts';
import { taskRoutes } from './api/admin/task-routes.ts';
import { agentRoutes } from './api/agent/agent-routes.ts';
import type { Arm } from './api/arm/create-arm.ts';
import { blobRoutes } from './api/blob/blob-routes.ts';
import { asOfRoutes } from './api/events/as-of-routes.ts';
import { auditRoutes } from './api/events/audit-routes.ts';
import { liveRoutes } from './api/events/live-routes.ts';
import { tagMovesRoutes } from './api/events/tag-moves-routes.ts';
import { validationRoutes } from './api/events/validation-routes.ts';
import { graphRoutes } from './api/graph/graph-routes.ts';
import { hookRoutes } from './api/hooks/hook-routes.ts';
import { loginRoutes } from './api/login/login-routes.ts';
import type { Env } from './api/middleware/env.ts';
import { exchange } from './api/middleware/exchange.ts';
import { healthRoutes } from './api/middleware/health-routes.ts';
import type { Part } from './api/middleware/host-name.ts';
import type { Metrics } from './api/middleware/metrics.ts';
import { countTraffic } from './api/middleware/metrics-traffic.ts';
import { renderFailure, renderNotFound } from './api/middleware/render-failure.ts';
import { statusPage } from './api/middleware/status-page.ts';
import { throttleRequests } from './api/middleware/throttle.ts';
import { ociRoutes } from './api/oci/oci-routes.ts';
import { tokenRoutes } from './api/token/token-routes.ts';
import type { Builds } from './compose-builds.ts';
import type { Features } from './compose-features.ts';
import type { Tasks } from './compose-tasks.ts';
import type { Measure } from './features/insight/registry-metrics.ts';
import { lookBackLimits } from './features/insight/tags-as-of.ts';
import type { Data } from './open-data.ts';
import type { StoreNotes } from './platform/blob-store/store-notes.ts';
import { Turns } from './platform/turns.ts';
import { blockListOf, publicPortOf, type Settings } from './settings.ts';

/** Every surface on one application; a `part` of them where a listener serves no more. */
export function composeApp(
  settings: Settings,
  data: Data,
  features: Features & {
    readonly arm: Arm;
    readonly builds: Builds;
    readonly tasks: Tasks;
    readonly measure: Measure;
    readonly auditArchive: StoreNotes | undefined;
  },
  metrics: Metrics,
  isStopping: () => boolean,
  part: Part | undefined,
): Hono<Env> {
  const { trustedProxies, domain } = settings;
  const checks = { database: () => data.database.nowMicros(), store: () => data.store.check() };
  const throttle = throttleRequests({ throttle: features.throttle, accessLog: data.accessLog });
  const parts = { ...data, ...features, throttle, metrics, isStopping, transfer: transferOf(settings) };
  const app = new Hono<Env>();
  app.onError(renderFailure(data.log));
  app.notFound(renderNotFound);
  app.use(
    exchange({
      ...parts,
      domain,
      ...(part && { part }),
      trustedProxies: trustedProxies.length === 0 ? undefined : blockListOf(trustedProxies),
    }),
  );
  app.use('/v2/*', countTraffic(features.measure));
  const lookBacks = new Turns(lookBackLimits);
  app.route('/', asOfRoutes({ ...parts, ...data.installation, lookBacks }));
  app.route('/', ociRoutes(parts));
  app.route('/', tagMovesRoutes({ ...parts, ...data.installation, lookBacks }));
  app.route('/', acrRoutes(parts));
  app.route('/', tokenRoutes(parts));
  app.route('/', graphRoutes({ ...parts, domain }));
  app.route('/', loginRoutes({ ...parts, domain, portSuffix: portSuffixOf(settings) }));
  app.route('/', adminRoutes(parts));
  app.route('/', liveRoutes(parts));
  app.route('/', auditRoutes({ ...parts, ...data.installation }));
  app.route('/', validationRoutes({ ...features.arm, throttle }));
  app.route('/', accessRoutes(parts));
  app.route('/', identityBindingRoutes(parts));
  app.route('/', signingKeyRoutes(parts));
  app.route('/', retentionRoutes(parts));
  app.route('/', purgeRoutes(parts));
  app.route('/', lifecycleRoutes(parts));
  app.route('/', repositoryTemplateRoutes(parts));
  app.route('/', hookRoutes({ ...parts, ...features.tasks }));
  app.route('/', taskRoutes(parts));
  app.route('/', agentRoutes(parts));
  app.route('/', blobRoutes(parts));
  app.route('/', agentTokenRoutes({ ...parts, ...features.builds }));
  app.route('/', healthRoutes({ ...parts, checks, hasMetricsListener: settings.metrics !== undefined }));
  app.route('/', features.arm.routes);
  app.route('/', statusPage());
  return app;
}

export function transferOf(settings: Settings) {
  return { minBytesPerSecond: settings.minBodyRate, windowMs: settings.minBodyRateWindow };
}

/** Behind host names; 443 needs none. */
function portSuffixOf(settings: Settings): string {
  const port = publicPortOf(settings);
  return port === 443 ? '' : `:${port}`;
}
