import { parseDigest } from '../../core/digest.ts';
import { type Authority, confirmedWith } from '../../features/access/authority.ts';
import { nextLink } from '../oci/page-query.ts';
import type { AcrRequest, AtContent, InRepository } from './acr-route.ts';
import { manifestChangeIn } from './attributes-body.ts';
import { orderedPageIn } from './ordered-page.ts';
import { headOf, manifestView } from './views.ts';

/** Manifests by digest or by time. */
export async function manifestsGet({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const page = orderedPageIn(c);
  const { entries, next } = await parts.metadata.manifests(at.place, authority, { page });
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  return c.json({ ...headOf(c.get('call').registry, at.place), manifests: entries.map(manifestView) });
}

export async function manifestGet({ c, parts, authority, at }: AcrRequest<AtContent>): Promise<Response> {
  const manifest = await parts.metadata.manifest(at.place, authority, parseDigest(at.rest));
  return c.json({ ...headOf(c.get('call').registry, at.place), manifest: manifestView(manifest) });
}

/**
 * Sets attributes, and what a scanner says: each with its own right, and a scanner's is enough for its part. Answers as GET does.
 * Source: ACR semantics, "Quarantine".
 */
export async function manifestPatch(request: AcrRequest<AtContent>): Promise<Response> {
  const { c, parts, allow, at } = request;
  const change = await manifestChangeIn(c, parts.transfer).catch(async (error: unknown) => {
    // A scanner's right is enough for what a scanner says, and this is not it.
    await allow('metadata_write');
    throw error;
  });
  const { quarantine, ...attributes } = change;
  const saying = quarantine && (await allow('quarantine_write'));
  const setsAttributes = saying === undefined || Object.values(attributes).some((value) => value !== undefined);
  const setting = setsAttributes ? await allow('metadata_write') : undefined;
  const authority = both(setting, saying) ?? request.authority;
  await parts.attributeChanges.manifest(at.place, authority, parseDigest(at.rest), change);
  return await manifestGet({ ...request, authority });
}

/** Each is confirmed at the commit. */
function both(one: Authority | undefined, other: Authority | undefined): Authority | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return confirmedWith(one, async (epoch) => await other.confirm(epoch));
}
