import { setImmediate as breathe } from 'node:timers/promises';
import type { Queries } from '../../platform/database/database.ts';
import { deletionLocks, lockBits } from '../content/attributes.ts';
import { type ImmutableTags, immutableTagsOf } from '../content/immutable-tags.ts';
import type { ManifestFacts, RepositoryFacts, TagFacts } from './purge-selection.ts';

/** Rows per query: the event loop goes on between them. */
const page = 1_000;

/** Everything of a repository that decides what may leave. Reads it in pages; what changes meanwhile is looked at again when it is its turn. */
export async function readRepositoryFacts(
  queries: Queries,
  repositoryUid: string,
  pause: () => Promise<void>,
): Promise<RepositoryFacts> {
  const { isLocked, immutable } = await readRules(queries, repositoryUid);
  const tags: TagFacts[] = [];
  await inPages(pause, async (last) => {
    const rows = await queries
      .selectFrom('tags as t')
      .leftJoin('tag_pulls as p', (join) =>
        join.onRef('p.repository_uid', '=', 't.repository_uid').onRef('p.name', '=', 't.name'),
      )
      .where('t.repository_uid', '=', repositoryUid)
      .where('t.name', '>', last)
      .orderBy('t.name')
      .limit(page)
      .select(['t.name', 't.digest', 't.changed_at', 't.locks', 'p.pulled_at'])
      .execute();
    for (const { name, digest, changed_at, locks, pulled_at } of rows)
      tags.push({
        name,
        digest,
        changedAtMicros: changed_at,
        isLocked: (locks & deletionLocks) !== 0,
        isImmutable: immutable.keeps(name),
        pulledAtMicros: pulled_at ?? undefined,
      });
    return rows.map((row) => row.name);
  });
  const children = await readChildren(queries, repositoryUid, pause);
  const manifests: ManifestFacts[] = [];
  await inPages(pause, async (last) => {
    const rows = await queries
      .selectFrom('manifests as m')
      .leftJoin('manifest_pulls as p', (join) =>
        join.onRef('p.repository_uid', '=', 'm.repository_uid').onRef('p.digest', '=', 'm.digest'),
      )
      .where('m.repository_uid', '=', repositoryUid)
      .where('m.digest', '>', last)
      .orderBy('m.digest')
      .limit(page)
      .select(['m.digest', 'm.changed_at', 'm.subject_digest', 'm.locks', 'p.pulled_at'])
      .execute();
    for (const { digest, changed_at, subject_digest, locks, pulled_at } of rows)
      manifests.push({
        digest,
        changedAtMicros: changed_at,
        isLocked: (locks & deletionLocks) !== 0,
        children: children.get(digest) ?? [],
        subject: subject_digest ?? undefined,
        pulledAtMicros: pulled_at ?? undefined,
      });
    return rows.map((row) => row.digest);
  });
  return { tags, manifests, isLocked };
}

/** What is said of the repository as a whole. */
async function readRules(
  queries: Queries,
  repositoryUid: string,
): Promise<{ readonly isLocked: boolean; readonly immutable: ImmutableTags }> {
  const row = await queries
    .selectFrom('repositories as r')
    .innerJoin('registries as g', 'g.uid', 'r.registry_uid')
    .where('r.uid', '=', repositoryUid)
    .select(['r.name', 'r.locks', 'r.immutable_tags as ownImmutableTags', 'g.immutable_tags as immutableTags'])
    .executeTakeFirst();
  return {
    isLocked: ((row?.locks ?? 0) & lockBits.writeEnabled) !== 0,
    immutable: immutableTagsOf(row ?? { immutableTags: '[]', ownImmutableTags: '[]' }, row?.name ?? ''),
  };
}

/** What each index lists. */
async function readChildren(
  queries: Queries,
  repositoryUid: string,
  pause: () => Promise<void>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const children = new Map<string, string[]>();
  await inPages(pause, async (last) => {
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
async function inPages(pause: () => Promise<void>, read: (last: string) => Promise<readonly string[]>): Promise<void> {
  for (let last: string | undefined = ''; last !== undefined; ) {
    await breathe();
    await pause();
    const names: readonly string[] = await read(last);
    last = names.length < page ? undefined : names.at(-1);
  }
}
