import { Hono } from 'hono';
import type { Env } from '../middleware/env.ts';
import { authorizePage } from './authorize-page.ts';
import { deviceEndpoint } from './device-endpoint.ts';
import { devicePage } from './device-page.ts';
import { discoveryRoutes } from './discovery-routes.ts';
import type { LoginParts } from './login-parts.ts';
import { type MetadataParts, metadataRoutes } from './metadata-routes.ts';
import { outsidePages } from './outside-pages.ts';
import { renderLoginError } from './render-login-error.ts';
import { tokenEndpoint } from './token-endpoint.ts';

/** The sign-in of the tenant. Open to everyone: these routes are where people show who they are. */
export function loginRoutes(parts: LoginParts & MetadataParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.onError(renderLoginError(parts));
  for (const group of [
    discoveryRoutes(parts),
    tokenEndpoint(parts),
    deviceEndpoint(parts),
    devicePage(parts),
    authorizePage(parts),
    outsidePages(parts),
    metadataRoutes(parts),
  ]) {
    routes.route('/', group);
  }
  // MSAL asks whether a user signs in elsewhere, before it sends a password: nobody does.
  routes.get('/common/userrealm/:user', (c) => c.json({ error: 'not_found' }, 404));
  return routes;
}
