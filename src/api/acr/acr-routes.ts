import { type Context, Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import { classOfMethod } from '../../core/throttle-limits.ts';
import type { Action } from '../../features/access/decision.ts';
import type { Env } from '../middleware/env.ts';
import { countOnce } from '../middleware/throttle.ts';
import { type AcrPath, parseAcrPath } from './acr-path.ts';
import type { AcrParts, AcrRoute, AcrRouteByBody, AtContent, InRegistry, InRepository } from './acr-route.ts';
import { deletedCatalogGet, deletedManifestPost, deletedManifestsGet, deletedTagsGet } from './deleted-routes.ts';
import { manifestGet, manifestPatch, manifestsGet } from './manifest-routes.ts';
import { catalogGet, repositoryDelete, repositoryGet, repositoryPatch } from './repository-routes.ts';
import { tagDelete, tagGet, tagPatch, tagsGet } from './tag-routes.ts';
import { contentUsageGet, registryUsageGet, usageGet } from './usage-routes.ts';

// Every route of the surface. Source: ACR semantics, 4.1; usage is ours.

export const registryRoutes: readonly AcrRoute<InRegistry>[] = [
  { method: 'GET', resource: 'catalog', action: 'catalogList', handle: catalogGet },
  { method: 'GET', resource: 'registryUsage', action: 'catalogList', handle: registryUsageGet },
  { method: 'GET', resource: 'deletedCatalog', action: 'deletedCatalogList', handle: deletedCatalogGet },
];

export const repositoryRoutes: readonly AcrRoute<InRepository>[] = [
  { method: 'GET', resource: 'repository', action: 'metadata_read', handle: repositoryGet },
  { method: 'PATCH', resource: 'repository', action: 'metadata_write', handle: repositoryPatch },
  { method: 'DELETE', resource: 'repository', action: 'delete', handle: repositoryDelete },
  { method: 'GET', resource: 'tags', action: 'metadata_read', handle: tagsGet },
  { method: 'GET', resource: 'manifests', action: 'metadata_read', handle: manifestsGet },
  { method: 'GET', resource: 'usage', action: 'metadata_read', handle: usageGet },
  { method: 'GET', resource: 'deletedTags', action: 'deleted_read', handle: deletedTagsGet },
  { method: 'GET', resource: 'deletedManifests', action: 'deleted_read', handle: deletedManifestsGet },
];

export const contentRoutes: readonly (AcrRoute<AtContent> | AcrRouteByBody<AtContent>)[] = [
  { method: 'GET', resource: 'tag', action: 'metadata_read', handle: tagGet },
  { method: 'PATCH', resource: 'tag', action: 'metadata_write', handle: tagPatch },
  { method: 'DELETE', resource: 'tag', action: 'delete', handle: tagDelete },
  { method: 'GET', resource: 'manifest', action: 'metadata_read', handle: manifestGet },
  { method: 'PATCH', resource: 'manifest', action: 'metadata_write', read: manifestPatch },
  { method: 'GET', resource: 'contentUsage', action: 'metadata_read', handle: contentUsageGet },
  { method: 'POST', resource: 'deletedManifest', action: 'deleted_restore', handle: deletedManifestPost },
];

/** The metadata API under `/acr/v1/`. Errors are those of the registry API. */
export function acrRoutes(parts: AcrParts): Hono<Env> {
  const app = new Hono<Env>();
  app.all('/acr/v1/*', async (c) => await dispatch(parts, c));
  return app;
}

async function dispatch(parts: AcrParts, c: Context<Env>): Promise<Response> {
  const path = parseAcrPath(c.req.path);
  const registryUid = c.get('call').registry.uid;
  if (!('repository' in path)) return await serve(parts, c, registryRoutes, { path, at: { registryUid } });
  const { repository } = path;
  const place = { registryUid, repository };
  if (!('rest' in path)) return await serve(parts, c, repositoryRoutes, { path, repository, at: { place } });
  return await serve(parts, c, contentRoutes, { path, repository, at: { place, rest: path.rest } });
}

/**
 * Finds the route, decides, counts the request, and runs the handler. Throws `unsupported`, `tooManyRequests`, and what authorization
 * and the handler throw.
 */
async function serve<At>(
  parts: AcrParts,
  c: Context<Env>,
  routes: readonly (AcrRoute<At> | AcrRouteByBody<At>)[],
  target: { readonly path: AcrPath; readonly repository?: RepositoryName; readonly at: At },
): Promise<Response> {
  const ofResource = routes.filter((entry) => entry.resource === target.path.resource);
  const method = c.req.method === 'HEAD' ? 'GET' : c.req.method;
  const route = ofResource.find((entry) => entry.method === method);
  if (route === undefined) {
    const allowed = ofResource.map((entry) => entry.method);
    c.header('Allow', allowed.join(', '));
    throw new BerthError('unsupported', { method: c.req.method, allowed });
  }
  const { registry, address, correlationId, userAgent } = c.get('call');
  const allow = async (action: Action) =>
    await parts.authorize({
      registry,
      authorization: c.req.header('authorization'),
      action,
      ...(target.repository === undefined ? {} : { repository: target.repository }),
      circumstances: { address, surface: 'acr', correlationId, userAgent },
    });
  const { action, handle } = 'read' in route ? await route.read(c, parts) : route;
  const authority = await allow(action);
  await countOnce(parts.throttle, c, classOfMethod(method), authority.principal);
  return await handle({ c, parts, authority, allow, at: target.at });
}
