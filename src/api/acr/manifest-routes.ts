import { parseDigest } from '../../core/digest.ts';
import { nextLink } from '../oci/page-query.ts';
import type { AcrRequest, AtContent, InRepository } from './acr-route.ts';
import { attributesIn } from './attributes-body.ts';
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

/** Sets attributes; answers as GET does. */
export async function manifestPatch(request: AcrRequest<AtContent>): Promise<Response> {
  const { c, parts, authority, at } = request;
  const attributes = await attributesIn(c, parts.transfer);
  await parts.attributeChanges.manifest(at.place, authority, parseDigest(at.rest), attributes);
  return await manifestGet(request);
}
