import type { RepositoryDeleted } from '../../wire/acr/metadata-schema.ts';
import type { Catalog } from '../../wire/oci/lists.ts';
import { nextLink, pageIn } from '../oci/page-query.ts';
import type { AcrRequest, InRegistry, InRepository } from './acr-route.ts';
import { attributesIn } from './attributes-body.ts';
import { usualPage } from './ordered-page.ts';
import { repositoryView } from './views.ts';

/** Repositories that the caller may read. */
export async function catalogGet({ c, parts, authority, at }: AcrRequest<InRegistry>): Promise<Response> {
  const page = pageIn(c, usualPage);
  const { entries, next } = await parts.listings.catalog(at.registryUid, authority, page);
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const body: Catalog = { repositories: [...entries] };
  return c.json(body);
}

export async function repositoryGet(request: AcrRequest<InRepository>): Promise<Response> {
  const { c, parts, authority, at } = request;
  return c.json(repositoryView(c.get('call').registry, at.place, await parts.metadata.repository(at.place, authority)));
}

/** Sets attributes; answers as GET does. */
export async function repositoryPatch(request: AcrRequest<InRepository>): Promise<Response> {
  const { c, parts, authority, at } = request;
  await parts.attributeChanges.repository(at.place, authority, await attributesIn(c, parts.transfer));
  return await repositoryGet(request);
}

/** Deletes everything in a repository. Source: ACR semantics, 3.3. */
export async function repositoryDelete({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const { manifests, tags } = await parts.deletions.repository(at.place, authority);
  const body: RepositoryDeleted = { manifestsDeleted: [...manifests], tagsDeleted: [...tags] };
  return c.json(body, 202);
}
