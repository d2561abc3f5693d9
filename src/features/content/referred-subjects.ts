import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotRows, ofEach } from '../../platform/database/hot-query.ts';
import { cosignTags } from './cosign-tags.ts';
import { walkOf } from './left-referrers.ts';
import { RepositoryRows } from './repository-rows.ts';

export type Referred = (subjects: readonly Digest[]) => Promise<ReadonlySet<Digest>>;

/**
 * Says to which of some manifests of a repository something may belong: by its subject, or under a tag of cosign, held or not. With
 * few statements, however many they are and however much belongs to one.
 */
export function referredIn(tx: Transaction, kind: Database['kind'], repositoryUid: string): Referred {
  return async (subjects) => {
    const byTag = new Map(subjects.flatMap((subject) => cosignTags(subject).map((tag) => [tag, subject] as const)));
    const tags = await new RepositoryRows(tx, repositoryUid)
      .tags()
      .where('name', 'in', [...byTag.keys()])
      .select('name')
      .execute();
    const tagged = tags.flatMap(({ name }) => byTag.get(name) ?? []);
    const named = await withSubject(tx, kind, { repositoryUid, subjects });
    return new Set([...tagged, ...subjects.filter((subject) => named.has(subject))]);
  };
}

/** Stops at the first that refers to each: an image may have any number of signatures. */
async function withSubject(
  tx: Transaction,
  kind: Database['kind'],
  { repositoryUid, subjects }: { readonly repositoryUid: string; readonly subjects: readonly Digest[] },
): Promise<ReadonlySet<string>> {
  const list = JSON.stringify(subjects);
  const asked =
    kind === 'sqlite'
      ? sql`json_each(${list}) as v`
      : sql`jsonb_array_elements_text(cast(${list} as jsonb)) as v (value)`;
  const { rows } = await sql<{ readonly digest: string }>`select v.value as digest from ${asked}
    where exists (
      select 1 from manifests m where m.repository_uid = ${repositoryUid} and m.subject_digest = v.value)`.execute(tx);
  return new Set(rows.map(({ digest }) => digest));
}

/**
 * Whether something may belong to a manifest, or is known to be left of what did; with one statement, as `sendAhead`: nothing
 * belongs to most.
 */
export async function askWhetherReferred(
  tx: Transaction,
  repositoryUid: string,
  subject: Digest,
): Promise<() => Promise<boolean>> {
  const items = cosignTags(subject).map((tag) => ({ tag }));
  const walk = walkOf(repositoryUid, subject);
  const found = await referrer.ahead(tx, { repository: repositoryUid, subject, walk }, items);
  return async () => (await found()).length > 0;
}

const referrer = hotRows(['repository', 'subject', 'walk'], ['tag'], (on, parameter, items) =>
  on
    .selectFrom('manifests')
    .where('repository_uid', '=', parameter<string>('repository'))
    .where('subject_digest', '=', parameter<string>('subject'))
    .select('digest as name')
    .unionAll(
      on
        .selectFrom('tags')
        .where('repository_uid', '=', parameter<string>('repository'))
        .where('name', 'in', ofEach(items, 'tag'))
        .select('name'),
    )
    .unionAll(on.selectFrom('walks').where('name', '=', parameter<string>('walk')).select('name'))
    .limit(1),
);
