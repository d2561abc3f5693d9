import { sql } from 'kysely';
import type { Queries } from '../../platform/database/database.ts';
import { deletionLocks } from './attributes.ts';
import { cosignTags } from './cosign-tags.ts';
import { type ImmutableTags, immutableTagsOf } from './immutable-tags.ts';

/** Keeps statements far below the parameter limits of both databases. */
const slice = 200;

/**
 * A manifest, and what would leave with it because it lies under cosign's tags of it, of what refers to it, and so on, and
 * under no other tag: the rule of `Deletion.referrers`. Looked for by names, which no query along referrers follows.
 */
export async function withSignatures(
  queries: Queries,
  repositoryUid: string,
  digest: string,
): Promise<readonly string[]> {
  const immutable = await immutableTagsIn(queries, repositoryUid);
  const seeds = [digest];
  const seen = new Set([digest]);
  const goneTags = new Set<string>();
  for (let subjects: readonly string[] = [digest]; subjects.length > 0; ) {
    const next: string[] = [];
    for (let start = 0; start < subjects.length; start += slice) {
      const some = subjects.slice(start, start + slice);
      const signatures = await signaturesOf(queries, repositoryUid, { subjects: some, goneTags, immutable });
      for (const each of signatures) if (!seen.has(each)) seeds.push(each);
      for (const each of [...signatures, ...(await referrersOf(queries, repositoryUid, some))]) {
        if (seen.has(each)) continue;
        seen.add(each);
        next.push(each);
      }
    }
    subjects = next;
  }
  return seeds;
}

async function immutableTagsIn(queries: Queries, repositoryUid: string): Promise<ImmutableTags> {
  const row = await queries
    .selectFrom('repositories as r')
    .innerJoin('registries as g', 'g.uid', 'r.registry_uid')
    .where('r.uid', '=', repositoryUid)
    .select(['r.name', 'r.immutable_tags as ownImmutableTags', 'g.immutable_tags as immutableTags'])
    .executeTakeFirst();
  return immutableTagsOf(row ?? { immutableTags: '[]', ownImmutableTags: '[]' }, row?.name ?? '');
}

async function signaturesOf(
  queries: Queries,
  repositoryUid: string,
  {
    subjects,
    goneTags,
    immutable,
  }: { readonly subjects: readonly string[]; readonly goneTags: Set<string>; readonly immutable: ImmutableTags },
): Promise<readonly string[]> {
  const leaving = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('name', 'in', subjects.flatMap(cosignTags))
    .where(sql<boolean>`(locks & ${sql.lit(deletionLocks)}) = 0`)
    .select(['name', 'digest'])
    .execute();
  const free = leaving.filter(({ name }) => !immutable.keeps(name));
  for (const { name } of free) goneTags.add(name);
  const digests = [...new Set(free.map((tag) => tag.digest))];
  if (digests.length === 0) return [];
  const tags = await queries
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where('digest', 'in', digests)
    .select(['name', 'digest'])
    .execute();
  const held = new Set(tags.filter(({ name }) => !goneTags.has(name)).map((tag) => tag.digest));
  const rows = await unheld(queries, repositoryUid).where('m.digest', 'in', digests).execute();
  return rows.map((row) => row.digest).filter((digest) => !held.has(digest));
}

async function referrersOf(queries: Queries, repositoryUid: string, subjects: readonly string[]): Promise<string[]> {
  const rows = await unheld(queries, repositoryUid)
    .where('m.subject_digest', 'in', subjects)
    .where(
      sql<boolean>`not exists (select 1 from tags n where n.repository_uid = m.repository_uid and n.digest = m.digest)`,
    )
    .execute();
  return rows.map((row) => row.digest);
}

/** Without a lock, and part of no index. */
function unheld(queries: Queries, repositoryUid: string) {
  return queries
    .selectFrom('manifests as m')
    .where('m.repository_uid', '=', repositoryUid)
    .where(sql<boolean>`(m.locks & ${sql.lit(deletionLocks)}) = 0`)
    .where(
      sql<boolean>`not exists (select 1 from manifest_references x
        where x.repository_uid = m.repository_uid and x.digest = m.digest and x.kind = 'manifest')`,
    )
    .select('m.digest');
}
