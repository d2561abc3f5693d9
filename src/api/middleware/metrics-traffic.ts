import type { MiddlewareHandler } from 'hono';
import type { Measure } from '../../features/insight/registry-metrics.ts';
import type { Env } from './env.ts';

/**
 * Counts what Azure counts of a registry: requests for manifests. A request that is asked to sign in first is no pull and no
 * push yet, and HEAD is none. Source: ACR semantics, "Metrics".
 */
export function countTraffic(measure: Measure): MiddlewareHandler<Env> {
  return async (c, next) => {
    await next();
    const { method, path } = c.req;
    if ((method !== 'GET' && method !== 'PUT') || !isManifest(path)) return;
    const { status } = c.res;
    if (status === 401) return;
    const { uid } = c.var.call.registry;
    measure(uid, method === 'GET' ? 'TotalPullCount' : 'TotalPushCount', 1);
    if (status < 400) measure(uid, method === 'GET' ? 'SuccessfulPullCount' : 'SuccessfulPushCount', 1);
  };
}

/** `/v2/<name>/manifests/<reference>`: a reference has no slash. */
function isManifest(path: string): boolean {
  if (!path.startsWith('/v2/')) return false;
  const end = path.lastIndexOf('/');
  return path.endsWith('/manifests', end);
}
