import { mediaTypes } from '../../core/media-types.ts';
import type { Queries } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import { type Attributes, attributesOf, isListed } from '../content/attributes.ts';
import { locate } from '../content/locate.ts';
import type { Place } from '../content/place.ts';

/** Rows per query: nobody knows how many manifests a repository has. */
const page = 500;

/**
 * Manifests of a repository without a tag that no tagged index lists, however deep, in the order of their digests. Those of OCI
 * images are left out, as Azure's program does it: they may be what is attached to others. Throws `nameUnknown`. Source:
 * Azure/acr-cli, cmd/repository.
 */
export async function* danglingManifests(
  queries: Queries,
  place: Place,
  authority: Authority,
): AsyncGenerator<{ readonly digest: string; readonly attributes: Attributes }> {
  const uid = await locate(queries, place, authority);
  const held = await heldByIndexes(queries, uid);
  for (let last: string | undefined = ''; last !== undefined; ) {
    const rows: { readonly digest: string; readonly locks: number }[] = await queries
      .selectFrom('manifests as m')
      .where('m.repository_uid', '=', uid)
      .where('m.digest', '>', last)
      .where('m.media_type', '<>', mediaTypes.ociManifest)
      .where(isListed('m.locks'))
      .where((at) =>
        at.not(
          at.exists(
            at
              .selectFrom('tags as t')
              .whereRef('t.repository_uid', '=', 'm.repository_uid')
              .whereRef('t.digest', '=', 'm.digest')
              .select('t.name'),
          ),
        ),
      )
      .orderBy('m.digest')
      .limit(page)
      .select(['m.digest', 'm.locks'])
      .execute();
    for (const { digest, locks } of rows) if (!held.has(digest)) yield { digest, attributes: attributesOf(locks) };
    last = rows.length < page ? undefined : rows.at(-1)?.digest;
  }
}

/** What tagged indexes list, and the indexes among those. */
async function heldByIndexes(queries: Queries, repositoryUid: string): Promise<ReadonlySet<string>> {
  const held = new Set<string>();
  for (let last: string | undefined = ''; last !== undefined; ) {
    const indexes: readonly string[] = await taggedIndexes(queries, repositoryUid, last);
    const open = [...indexes];
    while (open.length > 0)
      for (const child of await childrenOf(queries, repositoryUid, open.splice(0, page)))
        if (!held.has(child)) {
          held.add(child);
          open.push(child);
        }
    last = indexes.length < page ? undefined : indexes.at(-1);
  }
  return held;
}

async function taggedIndexes(queries: Queries, repositoryUid: string, after: string): Promise<string[]> {
  const rows = await queries
    .selectFrom('manifest_references as r')
    .where('r.repository_uid', '=', repositoryUid)
    .where('r.kind', '=', 'manifest')
    .where('r.manifest_digest', '>', after)
    .where((at) =>
      at.exists(
        at
          .selectFrom('tags as t')
          .whereRef('t.repository_uid', '=', 'r.repository_uid')
          .whereRef('t.digest', '=', 'r.manifest_digest')
          .select('t.name'),
      ),
    )
    .orderBy('r.manifest_digest')
    .limit(page)
    .select('r.manifest_digest')
    .distinct()
    .execute();
  return rows.map((row) => row.manifest_digest);
}

async function childrenOf(queries: Queries, repositoryUid: string, parents: readonly string[]): Promise<string[]> {
  const rows = await queries
    .selectFrom('manifest_references')
    .where('repository_uid', '=', repositoryUid)
    .where('kind', '=', 'manifest')
    .where('manifest_digest', 'in', parents)
    .select('digest')
    .distinct()
    .execute();
  return rows.map((row) => row.digest);
}
