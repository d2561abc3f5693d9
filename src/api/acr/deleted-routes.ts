import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag } from '../../core/reference.ts';
import type { DeletedTag } from '../../features/retention/deleted-listings.ts';
import { type DeletedManifestsView, type DeletedTagsView, restoreSchema } from '../../wire/acr/deleted-schema.ts';
import type { Catalog } from '../../wire/oci/lists.ts';
import { nextLink, pageIn } from '../oci/page-query.ts';
import type { AcrRequest, AtContent, InRegistry, InRepository } from './acr-route.ts';
import { jsonIn } from './json-body.ts';
import { usualPage } from './ordered-page.ts';
import { headOf, timeText } from './views.ts';

// What was deleted, and its restore. Source: ACR semantics, 8.2; wire contract of the az CLI, 3.6.

/** Repositories that keep something deleted. */
export async function deletedCatalogGet({ c, parts, authority, at }: AcrRequest<InRegistry>): Promise<Response> {
  const page = pageIn(c, usualPage);
  const repositories = await parts.deletedListings.repositories(at.registryUid, authority, page);
  const next = repositories.length === page.limit ? repositories.at(-1) : undefined;
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const body: Catalog = { repositories };
  return c.json(body);
}

export async function deletedManifestsGet({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const page = pageIn(c, usualPage);
  const manifests = await parts.deletedListings.manifests(at.place, authority, page);
  const next = manifests.length === page.limit ? manifests.at(-1)?.digest : undefined;
  if (next !== undefined) c.header('Link', nextLink(c, page, next));
  const body: DeletedManifestsView = {
    ...headOf(c.get('call').registry, at.place),
    manifests: manifests.map(({ digest, deletedAtMicros, mediaType, sizeBytes, tags }) => ({
      digest,
      deletedAt: timeText(deletedAtMicros),
      mediaType,
      size: sizeBytes,
      ...(tags.length === 0 ? {} : { tags }),
    })),
  };
  return c.json(body);
}

export async function deletedTagsGet({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const { limit, last } = pageIn(c, usualPage);
  const tags = await parts.deletedListings.tags(at.place, authority, { limit, last: lastTagIn(last) });
  const next = tags.length === limit ? tags.at(-1) : undefined;
  if (next !== undefined) c.header('Link', nextLink(c, { limit }, textOf(next)));
  const body: DeletedTagsView = {
    ...headOf(c.get('call').registry, at.place),
    tags: tags.map(({ tag, digest, deletedAtMicros }) => ({ tag, digest, deletedAt: timeText(deletedAtMicros) })),
  };
  return c.json(body);
}

/** Restores a manifest, under the tag of the body; `?force=True` takes the tag from another manifest. */
export async function deletedManifestPost({ c, parts, authority, at }: AcrRequest<AtContent>): Promise<Response> {
  const { data } = restoreSchema.safeParse(await jsonIn(c, parts.transfer));
  if (data === undefined)
    throw new BerthError('requestInvalid', { body: 'a JSON object with the tag to restore is expected' });
  await parts.restores.restore(at.place, authority, {
    digest: parseDigest(at.rest),
    tag: data.tag ? parseTag(data.tag) : undefined,
    isForced: c.req.query('force')?.toLowerCase() === 'true',
  });
  return c.json({}, 200);
}

/** What a link leads on by: several of one name may have been deleted. */
function textOf({ tag, deletedAtMicros, digest }: DeletedTag): string {
  return `${tag},${deletedAtMicros},${digest}`;
}

/** Throws `requestInvalid`. */
function lastTagIn(text: string): DeletedTag | undefined {
  if (text === '') return undefined;
  const [, tag, time, digest] = /^([^,]+),(\d{1,15}|[1-8]\d{15}),([^,]+)$/.exec(text) ?? [];
  if (tag === undefined || time === undefined || digest === undefined)
    throw new BerthError('requestInvalid', { last: text.slice(0, 200) });
  return { tag, deletedAtMicros: Number(time), digest };
}
