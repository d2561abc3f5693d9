import { type Context, Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import { classOfMethod } from '../../core/throttle-limits.ts';
import type { Env } from '../middleware/env.ts';
import { blobDelete, blobGet } from './blob-routes.ts';
import { baseGet, catalogGet, referrersGet, tagsGet } from './list-routes.ts';
import { manifestDelete, manifestGet, manifestPut } from './manifest-routes.ts';
import { type OciPath, parseOciPath } from './oci-path.ts';
import type { AtContent, InRegistry, InRepository, OciParts, OciRoute } from './oci-route.ts';
import { uploadDelete, uploadGet, uploadPatch, uploadPost, uploadPut } from './upload-routes.ts';

// Every route of the surface. HEAD is answered by the GET of the same resource.

export const registryRoutes: readonly OciRoute<InRegistry>[] = [
  { method: 'GET', resource: 'base', action: 'connect', source: 'end-1', handle: baseGet },
  { method: 'GET', resource: 'catalog', action: 'catalogList', source: 'Docker registry HTTP API', handle: catalogGet },
];

export const repositoryRoutes: readonly OciRoute<InRepository>[] = [
  { method: 'POST', resource: 'uploads', action: 'push', source: 'end-4a, end-4b, end-4c, end-11', handle: uploadPost },
  { method: 'GET', resource: 'tags', action: 'pull', source: 'end-8a, end-8b', handle: tagsGet },
];

export const contentRoutes: readonly OciRoute<AtContent>[] = [
  { method: 'GET', resource: 'blob', action: 'pull', source: 'end-2', handle: blobGet },
  { method: 'GET', resource: 'manifest', action: 'pull', source: 'end-3', handle: manifestGet },
  { method: 'PATCH', resource: 'upload', action: 'push', source: 'end-5', handle: uploadPatch },
  { method: 'PUT', resource: 'upload', action: 'push', source: 'end-6', handle: uploadPut },
  { method: 'PUT', resource: 'manifest', action: 'push', source: 'end-7', handle: manifestPut },
  { method: 'DELETE', resource: 'manifest', action: 'delete', source: 'end-9', handle: manifestDelete },
  { method: 'DELETE', resource: 'blob', action: 'delete', source: 'end-10', handle: blobDelete },
  { method: 'GET', resource: 'referrers', action: 'pull', source: 'end-12a, end-12b', handle: referrersGet },
  { method: 'GET', resource: 'upload', action: 'push', source: 'end-13', handle: uploadGet },
  { method: 'DELETE', resource: 'upload', action: 'push', source: 'end-14', handle: uploadDelete },
];

/** The registry API under `/v2/`. Errors are thrown; `renderOciError` makes answers of them. */
export function ociRoutes(parts: OciParts): Hono<Env> {
  const app = new Hono<Env>();
  const answer = async (c: Context<Env>) => await dispatch(parts, c);
  app.all('/v2', answer);
  app.all('/v2/*', answer);
  return app;
}

async function dispatch(parts: OciParts, c: Context<Env>): Promise<Response> {
  const path = parseOciPath(c.req.path);
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
  parts: OciParts,
  c: Context<Env>,
  routes: readonly OciRoute<At>[],
  target: { readonly path: OciPath; readonly repository?: RepositoryName; readonly at: At },
): Promise<Response> {
  const ofResource = routes.filter((entry) => entry.resource === target.path.resource);
  const method = c.req.method === 'HEAD' ? 'GET' : c.req.method;
  const route = ofResource.find((entry) => entry.method === method);
  if (route === undefined) throw unsupported(c, ofResource);
  const { registry, address, correlationId, userAgent } = c.get('call');
  const authority = await parts.authorize({
    registry,
    authorization: c.req.header('authorization'),
    action: route.action,
    ...(target.repository === undefined ? {} : { repository: target.repository }),
    circumstances: { address, surface: 'oci', correlationId, userAgent },
  });
  c.set('principal', authority.principal);
  const requestClass = route.resource === 'referrers' ? 'referrers' : classOfMethod(method);
  const throttling = parts.throttle?.(c, requestClass, authority.principal);
  // Only where the database has to be asked: nobody else waits.
  if (throttling !== undefined) await throttling;
  const answer = await route.handle({ c, parts, authority, at: target.at });
  await parts.failpoint('response.before');
  return answer;
}

function unsupported(c: Context<Env>, routes: readonly OciRoute<never>[]): BerthError {
  const allowed = routes.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  c.header('Allow', allowed.join(', '));
  return new BerthError('unsupported', { method: c.req.method, allowed });
}
