import { type Context, Hono, type Next } from 'hono';
import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference } from '../../core/reference.ts';
import type { Authorize } from '../../features/access/access.ts';
import { attributesOf, requireOn } from '../../features/content/attributes.ts';
import type { Manifests } from '../../features/content/manifests.ts';
import { paged } from '../../features/content/paging.ts';
import type { Place } from '../../features/content/place.ts';
import { type AsOfParts, tagsAsOf } from '../../features/insight/tags-as-of.ts';
import type { TagList } from '../../wire/oci/lists.ts';
import type { Env } from '../middleware/env.ts';
import { countOnce, type ThrottleRequest } from '../middleware/throttle.ts';
import { parseOciPath } from '../oci/oci-path.ts';
import { nextLink, pageIn } from '../oci/page-query.ts';
import { instantOf } from './instant.ts';

export type AsOfRouteParts = AsOfParts & {
  readonly authorize: Authorize;
  readonly manifests: Pick<Manifests, 'find'>;
  /** Nobody is held back when absent. */
  readonly throttle?: ThrottleRequest;
};

/** What can be asked for as it was. */
export const asOfResources = [
  { method: 'GET', resource: 'tags', action: 'pull' },
  { method: 'GET', resource: 'manifest', action: 'pull' },
] as const;

/**
 * Time travel: `?asOf=<instant>` on the tag list, and on a manifest by tag, answers as it was then. What was deleted since is
 * listed and cannot be pulled. All other requests of the registry API pass by.
 */
export function asOfRoutes(parts: AsOfRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  // Every pull comes by: a look at the text is all it costs.
  routes.get('/v2/*', (c, next) => (c.req.url.includes('asOf') ? answer(parts, c, next) : next()));
  return routes;
}

async function answer(parts: AsOfRouteParts, c: Context<Env>, next: Next): Promise<Response | undefined> {
  const asOf = c.req.query('asOf');
  if (asOf === undefined) {
    await next();
    return undefined;
  }
  const path = parseOciPath(c.req.path);
  if (path.resource === 'tags') return await answerTags(parts, c, path, instantOf('asOf', asOf));
  if (path.resource === 'manifest') return await answerManifest(parts, c, path, instantOf('asOf', asOf));
  throw new BerthError('requestInvalid', {
    asOf: 'only the list of tags and manifests can be asked for as they were',
  });
}

type At = { readonly repository: Place['repository'] };

async function answerTags(parts: AsOfRouteParts, c: Context<Env>, at: At, atMicros: number): Promise<Response> {
  const { place, authority } = await authorized(parts, c, at);
  const page = pageIn(c);
  const { digests, locks } = await tagsAsOf(parts, place, authority, atMicros);
  const isShown = (tag: string) => tag > page.last && attributesOf(locks.get(tag) ?? 0).listEnabled;
  const tags = [...digests.keys()].filter(isShown).sort();
  const { entries, next } = paged(tags, page, String, String);
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const body: TagList = { name: at.repository, tags: [...entries] };
  return c.json(body);
}

async function answerManifest(
  parts: AsOfRouteParts,
  c: Context<Env>,
  { repository, rest }: At & { readonly rest: string },
  atMicros: number,
): Promise<Response> {
  const { place, authority } = await authorized(parts, c, { repository });
  const reference = parseReference(rest);
  if (reference.kind === 'digest')
    throw new BerthError('requestInvalid', { asOf: 'a digest is the same at all times' });
  const { tag } = reference;
  const { digests, locks } = await tagsAsOf(parts, place, authority, atMicros);
  const digest = digests.get(tag);
  if (digest === undefined) throw new BerthError('manifestUnknown', { repository, reference: tag });
  requireOn({ repository, tag }, locks.get(tag) ?? 0, 'readEnabled');
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
  await countOnce(parts.throttle, c, 'read', authority.principal);
  return { authority, place: { registryUid: registry.uid, repository } };
}
