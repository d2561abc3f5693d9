import { parseDigest } from '../../core/digest.ts';
import { mediaTypes } from '../../core/media-types.ts';
import type { Catalog, ReferrerList, TagList } from '../../wire/oci/lists.ts';
import type { AtContent, InRegistry, InRepository, OciRequest } from './oci-route.ts';
import { nextLink, pageIn, textIn } from './page-query.ts';

/** The check that a registry is here and the caller signed in. Source: OCI distribution specification, "Determining support". */
export function baseGet({ c }: OciRequest<InRegistry>): Response {
  return c.json({});
}

/** Repositories the caller may read. Source: Docker registry HTTP API, "Listing repositories". */
export async function catalogGet({ c, parts, authority, at }: OciRequest<InRegistry>): Promise<Response> {
  const page = pageIn(c);
  const { entries, next } = await parts.listings.catalog(at.registryUid, authority, page);
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const body: Catalog = { repositories: [...entries] };
  return c.json(body);
}

/** Tags in byte order. Source: OCI distribution specification, "Listing tags". */
export async function tagsGet({ c, parts, authority, at }: OciRequest<InRepository>): Promise<Response> {
  const page = pageIn(c);
  const { entries, next } = await parts.listings.tags(at.place, authority, page);
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const body: TagList = { name: at.place.repository, tags: [...entries] };
  return c.json(body);
}

/** Manifests that refer to a subject; an unknown subject has none. Source: OCI distribution specification, "Listing referrers". */
export async function referrersGet({ c, parts, authority, at }: OciRequest<AtContent>): Promise<Response> {
  const subject = parseDigest(at.rest);
  const page = pageIn(c);
  const artifactType = textIn(c, 'artifactType');
  const { entries, next } = await parts.listings.referrers(at.place, authority, { subject, artifactType, page });
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  if (artifactType !== undefined) c.header('OCI-Filters-Applied', 'artifactType');
  const body: ReferrerList = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: entries.map((entry) => ({ ...entry })),
  };
  return c.body(JSON.stringify(body), 200, { 'Content-Type': mediaTypes.ociIndex });
}
