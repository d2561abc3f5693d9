import type { Context } from 'hono';
import { parseDigest } from '../../core/digest.ts';
import { type Authority, confirmedWith } from '../../features/access/authority.ts';
import type { Env } from '../middleware/env.ts';
import { nextLink } from '../oci/page-query.ts';
import type { AcrParts, AcrRequest, AcrRoute, AtContent, InRepository } from './acr-route.ts';
import { manifestChangeIn } from './attributes-body.ts';
import { orderedPageIn } from './ordered-page.ts';
import { headOf, manifestView, pageOf } from './views.ts';

/** Manifests by digest or by time. */
export async function manifestsGet({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const page = orderedPageIn(c);
  const { entries, next } = await parts.metadata.manifests(at.place, authority, { page });
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  return c.json({ ...headOf(c.get('call').registry, at.place), manifests: pageOf(entries.map(manifestView)) });
}

export async function manifestGet({ c, parts, authority, at }: AcrRequest<AtContent>): Promise<Response> {
  const manifest = await parts.metadata.manifest(at.place, authority, parseDigest(at.rest));
  return c.json({ ...headOf(c.get('call').registry, at.place), manifest: manifestView(manifest) });
}

/**
 * Sets attributes, and what a scanner says: each with its own right, and a scanner's is enough for its part. Answers as GET does.
 * Source: ACR semantics, "Quarantine".
 */
export async function manifestPatch(c: Context<Env>, parts: AcrParts): Promise<ManifestPatch> {
  const [read] = await Promise.allSettled([manifestChangeIn(c, parts.transfer)]);
  // Why the body is refused is told to those who may set attributes.
  if (read.status === 'rejected') return { action: 'metadata_write', handle: async () => Promise.reject(read.reason) };
  const { quarantine, ...attributes } = read.value;
  const setsAttributes = quarantine === undefined || Object.values(attributes).some((value) => value !== undefined);
  return {
    action: setsAttributes ? 'metadata_write' : 'quarantine_write',
    handle: async (request) => {
      const { at } = request;
      const authority = setsAttributes && quarantine !== undefined ? await allowedBoth(request) : request.authority;
      await parts.attributeChanges.manifest(at.place, authority, parseDigest(at.rest), read.value);
      return await manifestGet({ ...request, authority });
    },
  };
}

type ManifestPatch = Pick<AcrRoute<AtContent>, 'action' | 'handle'>;

/** Both rights are confirmed at the commit; a token has to hold both. */
async function allowedBoth({ authority, allow, at }: AcrRequest<AtContent>): Promise<Authority> {
  authority.requireToken('quarantine_write', at.place.repository);
  const saying = await allow('quarantine_write');
  return confirmedWith(authority, async (epoch) => await saying.confirm(epoch));
}
