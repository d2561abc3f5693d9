import { parseDigest } from '../../core/digest.ts';
import { parseTag } from '../../core/reference.ts';
import { emptyBody } from '../oci/oci-route.ts';
import { nextLink, textIn } from '../oci/page-query.ts';
import type { AcrRequest, AtContent, InRepository } from './acr-route.ts';
import { attributesIn } from './attributes-body.ts';
import { orderedPageIn } from './ordered-page.ts';
import { headOf, pageOf, tagView } from './views.ts';

/** Tags by name or by time, on request those of one manifest. */
export async function tagsGet({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const page = orderedPageIn(c);
  const digest = textIn(c, 'digest') || undefined;
  const query = { page, digest: digest === undefined ? undefined : parseDigest(digest) };
  const { entries, next } = await parts.metadata.tags(at.place, authority, query);
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const views = entries.map(tagView);
  // SDKs ask for the tags of one manifest, of which there may be none.
  const isFirstOfManifest = digest !== undefined && page.last === undefined;
  return c.json({ ...headOf(c.get('call').registry, at.place), tags: isFirstOfManifest ? views : pageOf(views) });
}

export async function tagGet({ c, parts, authority, at }: AcrRequest<AtContent>): Promise<Response> {
  const tag = await parts.metadata.tag(at.place, authority, parseTag(at.rest));
  return c.json({ ...headOf(c.get('call').registry, at.place), tag: tagView(tag) });
}

/** Sets attributes; answers as GET does. */
export async function tagPatch(request: AcrRequest<AtContent>): Promise<Response> {
  const { c, parts, authority, at } = request;
  const attributes = await attributesIn(c, parts.transfer);
  await parts.attributeChanges.tag(at.place, authority, parseTag(at.rest), attributes);
  return await tagGet(request);
}

/** Takes a tag away; its manifest stays. Source: ACR semantics, 3.3. */
export async function tagDelete({ c, parts, authority, at }: AcrRequest<AtContent>): Promise<Response> {
  await parts.deletions.tag(at.place, authority, parseTag(at.rest));
  return c.body(null, 202, emptyBody);
}
