import { type Context, Hono } from 'hono';
import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference } from '../../core/reference.ts';
import type { Authorize } from '../../features/access/access.ts';
import type { Manifests } from '../../features/content/manifests.ts';
import type { Place } from '../../features/content/place.ts';
import { type AsOfParts, tagsAsOf } from '../../features/insight/tags-as-of.ts';
import type { TagList } from '../../wire/oci/lists.ts';
import type { Env } from '../middleware/env.ts';
import { parseOciPath } from '../oci/oci-path.ts';

export type AsOfRouteParts = AsOfParts & {
  readonly authorize: Authorize;
  readonly manifests: Pick<Manifests, 'find'>;
};

/**
 * Time travel: `?asOf=<instant>` on the tag list, and on a manifest by tag, answers as it was then. What was deleted since is
 * listed and cannot be pulled. All other requests of the registry API pass by.
 */
export function asOfRoutes(parts: AsOfRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get('/v2/*', async (c, next) => {
    const asOf = c.req.query('asOf');
    if (asOf === undefined) return await next();
    const path = parseOciPath(c.req.path);
    if (path.resource === 'tags') return await answerTags(parts, c, path, instantOf(asOf));
    if (path.resource === 'manifest') return await answerManifest(parts, c, path, instantOf(asOf));
    throw new BerthError('requestInvalid', {
      asOf: 'only the list of tags and manifests can be asked for as they were',
    });
  });
  return routes;
}

type At = { readonly repository: Place['repository'] };

async function answerTags(parts: AsOfRouteParts, c: Context<Env>, at: At, atMicros: number): Promise<Response> {
  const { place } = await authorized(parts, c, at);
  const body: TagList = { name: at.repository, tags: [...(await tagsAsOf(parts, place, atMicros)).keys()].sort() };
  return c.json(body);
}

async function answerManifest(
  parts: AsOfRouteParts,
  c: Context<Env>,
  at: At & { readonly rest: string },
  atMicros: number,
): Promise<Response> {
  const { place, authority } = await authorized(parts, c, at);
  const reference = parseReference(at.rest);
  const unknown = () => new BerthError('manifestUnknown', { repository: at.repository, reference: at.rest });
  if (reference.kind === 'digest')
    throw new BerthError('requestInvalid', { asOf: 'a digest is the same at all times' });
  const digest = (await tagsAsOf(parts, place, atMicros)).get(reference.tag);
  if (digest === undefined) throw unknown();
  const manifest = await parts.manifests.find(place, { kind: 'digest', digest: parseDigest(digest) }, authority);
  const headers = {
    'Content-Type': manifest.mediaType,
    'Content-Length': String(manifest.body.byteLength),
    'Docker-Content-Digest': manifest.digest,
  };
  return c.req.method === 'HEAD' ? c.body(null, 200, headers) : c.body(Uint8Array.from(manifest.body), 200, headers);
}

async function authorized(parts: AsOfRouteParts, c: Context<Env>, { repository }: At) {
  const { registry, address, correlationId, userAgent } = c.var.call;
  const authority = await parts.authorize({
    registry,
    authorization: c.req.header('authorization'),
    action: 'pull',
    repository,
    circumstances: { address, surface: 'oci', correlationId, userAgent },
  });
  return { authority, place: { registryUid: registry.uid, repository } };
}

/** Microseconds. Throws `requestInvalid`. */
function instantOf(text: string): number {
  const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = isInstant ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new BerthError('requestInvalid', { asOf: 'an instant is needed: 2030-01-31T12:00:00Z' });
  return ms * 1_000;
}
