import { Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { hasDirectoryRight } from '../../features/identity/directory-rights.ts';
import type { TenantCaller } from '../../features/identity/tenant-caller.ts';
import type { TenantDirectory } from '../../features/identity/tenant-directory.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import { fromOf } from '../login/login-form.ts';
import type { Env } from '../middleware/env.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import { applicationRoutes } from './application-routes.ts';
import { graphBase } from './graph-call.ts';
import type { GraphRoute } from './graph-route.ts';
import { groupRoutes } from './group-routes.ts';
import { renderGraphError } from './render-graph-error.ts';
import { servicePrincipalRoutes } from './service-principal-routes.ts';
import { userRoutes } from './user-routes.ts';

export type GraphParts = {
  readonly tenantCaller: TenantCaller;
  readonly tenantDirectory: TenantDirectory;
  readonly tenantTokens: { readonly tenantId: string };
  readonly accessLog: AccessLog;
  readonly transfer: TransferLimits;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly domain: string;
};

/** The directory in the form of Microsoft Graph v1.0, as far as the Azure CLI needs it. */
export function graphRoutes(parts: GraphParts): Hono<Env> {
  const { ids, clock, transfer, tenantCaller, tenantDirectory: directory } = parts;
  const { tenantId } = parts.tenantTokens;
  const routes = new Hono<Env>();
  routes.onError(renderGraphError(parts));
  const all: readonly GraphRoute[] = [
    ...groupRoutes,
    ...userRoutes,
    ...applicationRoutes({ ids, clock }),
    ...servicePrincipalRoutes({ ids, clock }),
  ];
  for (const { method, path, right, handle } of all) {
    routes.on(method, `${graphBase}${path}`, async (c) => {
      const by = await tenantCaller(c.req.header('authorization'), 'graph');
      // PostgreSQL keeps no text with that character, so nothing has it in its name.
      if (c.req.url.includes('%00')) throw new BerthError('directoryObjectInvalid', 'the address holds U+0000');
      if (hasDirectoryRight(by, right)) return await handle({ c, by, directory, tenantId, transfer });
      const { address, correlationId } = fromOf(c);
      const reason = `directory ${right}`;
      parts.accessLog.record({ kind: 'denial', identity: by.uid, address, correlationId, status: 403, reason });
      throw new BerthError('directoryRightMissing');
    });
  }
  routes.all(`/graph/*`, () => {
    throw new BerthError('routeUnknown');
  });
  return routes;
}
