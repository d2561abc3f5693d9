import type { Queries } from '../../platform/database/database.ts';
import { deletionLocks } from '../content/attributes.ts';
import type { ManifestFacts, RepositoryFacts, TagFacts } from './purge-selection.ts';

/** Rows per query: the event loop goes on between them. */
const page = 1_000;

/** Everything of a repository that decides what may leave. Reads it in pages; what changes meanwhile is looked at again when it is its turn. */
export async function readRepositoryFacts(queries: Queries, repositoryUid: string): Promise<RepositoryFacts> {
  const tags: TagFacts[] = [];
  await inPages(async (last) => {
    const rows = await queries
      .selectFrom('tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '>', last)
      .orderBy('name')
      .limit(page)
      .select(['name', 'digest', 'changed_at', 'locks'])
      .execute();
    for (const { name, digest, changed_at, locks } of rows)
      tags.push({ name, digest, changedAtMicros: changed_at, isLocked: (locks & deletionLocks) !== 0 });
    return rows.map((row) => row.name);
  });
  const children = await readChildren(queries, repositoryUid);
  const manifests: ManifestFacts[] = [];
  await inPages(async (last) => {
    const rows = await queries
      .selectFrom('manifests')
      .where('repository_uid', '=', repositoryUid)
      .where('digest', '>', last)
      .orderBy('digest')
      .limit(page)
      .select(['digest', 'changed_at', 'subject_digest', 'locks'])
      .execute();
    for (const { digest, changed_at, subject_digest, locks } of rows)
      manifests.push({
        digest,
        changedAtMicros: changed_at,
        isLocked: (locks & deletionLocks) !== 0,
        children: children.get(digest) ?? [],
        subject: subject_digest ?? undefined,
      });
    return rows.map((row) => row.digest);
  });
  return { tags, manifests };
}

/** What each index lists. */
async function readChildren(queries: Queries, repositoryUid: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const children = new Map<string, string[]>();
  await inPages(async (last) => {
    // Whole manifests at a time: one has at most a few thousand children.
    const parents = await queries
      .selectFrom('manifest_references')
      .where('repository_uid', '=', repositoryUid)
      .where('kind', '=', 'manifest')
      .where('manifest_digest', '>', last)
      .orderBy('manifest_digest')
      .limit(page)
      .select('manifest_digest')
      .distinct()
      .execute();
    const digests = parents.map((row) => row.manifest_digest);
    if (digests.length === 0) return digests;
    const rows = await queries
      .selectFrom('manifest_references')
      .where('repository_uid', '=', repositoryUid)
      .where('kind', '=', 'manifest')
      .where('manifest_digest', '>=', digests[0] ?? '')
      .where('manifest_digest', '<=', digests.at(-1) ?? '')
      .select(['manifest_digest', 'digest'])
      .execute();
    for (const [parent, listed] of Map.groupBy(rows, (row) => row.manifest_digest))
      children.set(
        parent,
        listed.map((row) => row.digest),
      );
    return digests;
  });
  return children;
}

/** Calls `read` with the last name of the page before, '' at first, until a page is not full. */
async function inPages(read: (last: string) => Promise<readonly string[]>): Promise<void> {
  for (let last: string | undefined = ''; last !== undefined; ) {
    const names: readonly string[] = await read(last);
    last = names.length < page ? undefined : names.at(-1);
  }
}
