import { type Expression, sql } from 'kysely';
import { z } from 'zod';
import type { Queries } from '../../platform/database/database.ts';
import type { JournalEvent } from '../../platform/journal/journal.ts';
import type { InventoryLine } from './inventory-line.ts';

/** Keeps statements far below the parameter limits of both databases, and a page of manifests in memory. */
const pageRows = 100;

/** Everything in a registry. */
export async function* everyLine(read: Queries, registryUid: string): AsyncGenerator<InventoryLine> {
  for (let last = ''; ; ) {
    const page = await read
      .selectFrom('repositories')
      .select(['uid', 'name', 'locks', 'created_at', 'changed_at'])
      .where('registry_uid', '=', registryUid)
      .where('name', '>', last)
      .orderBy('name')
      .limit(pageRows)
      .execute();
    for (const row of page) {
      yield repositoryLine(row);
      yield* everyManifest(read, row);
      yield* everyTag(read, row);
    }
    const end = page.at(-1);
    if (end === undefined || page.length < pageRows) return;
    last = end.name;
  }
}

/** The present state of what events of a registry named: it may be newer than the events. */
export async function* touchedLines(
  read: Queries,
  registryUid: string,
  events: readonly JournalEvent[],
): AsyncGenerator<InventoryLine> {
  for (const some of pagesOf([...touchedBy(events)])) {
    const rows = await read
      .selectFrom('repositories')
      .select(['uid', 'name', 'locks', 'created_at', 'changed_at'])
      .where('registry_uid', '=', registryUid)
      .where(
        'name',
        'in',
        some.map(([repository]) => repository),
      )
      .execute();
    const byName = new Map(rows.map((row) => [row.name, row]));
    const digests: Named[] = [];
    const tags: Named[] = [];
    for (const [repository, touched] of some) {
      const row = byName.get(repository);
      if (touched.isGone || row === undefined) yield { kind: 'repositoryGone', repository };
      if (row === undefined) continue;
      yield repositoryLine(row);
      for (const name of touched.digests) digests.push({ repository: row, name });
      for (const name of touched.tags) tags.push({ repository: row, name });
    }
    for (const page of pagesOf(digests)) yield* namedManifests(read, page);
    for (const page of pagesOf(tags)) yield* namedTags(read, page);
  }
}

function* pagesOf<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < all.length; start += pageRows) yield all.slice(start, start + pageRows);
}

/** A manifest by its digest, or a tag. */
type Named = { readonly repository: RepositoryRow; readonly name: string };

const namesSchema = z.object({
  repository: z.string().optional(),
  digest: z.string().optional(),
  tag: z.string().optional(),
  tags: z.array(z.string()).optional(),
});

type Touched = { isGone: boolean; readonly digests: Set<string>; readonly tags: Set<string> };

/** By repository. */
function touchedBy(events: readonly JournalEvent[]): ReadonlyMap<string, Touched> {
  const all = new Map<string, Touched>();
  for (const { type, data } of events) {
    if (!/^(?:manifest|tag|repository)\./.test(type)) continue;
    const { repository, digest, tag, tags = [] } = namesSchema.parse(data);
    if (repository === undefined) continue;
    const touched = all.get(repository) ?? { isGone: false, digests: new Set(), tags: new Set() };
    all.set(repository, touched);
    if (type === 'repository.deleted') touched.isGone = true;
    if (digest !== undefined) touched.digests.add(digest);
    for (const name of tag === undefined ? tags : [tag, ...tags]) touched.tags.add(name);
  }
  return all;
}

type RepositoryRow = {
  readonly uid: string;
  readonly name: string;
  readonly locks: number;
  readonly created_at: number;
  readonly changed_at: number;
};

function repositoryLine({ name: repository, locks, created_at, changed_at }: RepositoryRow): InventoryLine {
  return { kind: 'repository', repository, locks, createdAt: created_at, changedAt: changed_at };
}

const manifestColumns = ['digest', 'media_type', 'locks', 'created_at', 'changed_at', 'body'] as const;
const tagColumns = ['name', 'digest', 'hybrid_time', 'region', 'locks', 'created_at', 'changed_at'] as const;

async function* everyManifest(read: Queries, repository: RepositoryRow): AsyncGenerator<InventoryLine> {
  for (let last = ''; ; ) {
    const page = await read
      .selectFrom('manifests')
      .select([...manifestColumns])
      .where('repository_uid', '=', repository.uid)
      .where('digest', '>', last)
      .orderBy('digest')
      .limit(pageRows)
      .execute();
    for (const row of page) yield manifestLine(repository.name, row);
    const end = page.at(-1);
    if (end === undefined || page.length < pageRows) return;
    last = end.digest;
  }
}

async function* everyTag(read: Queries, repository: RepositoryRow): AsyncGenerator<InventoryLine> {
  for (let last = ''; ; ) {
    const page = await read
      .selectFrom('tags')
      .select([...tagColumns])
      .where('repository_uid', '=', repository.uid)
      .where('name', '>', last)
      .orderBy('name')
      .limit(pageRows)
      .execute();
    for (const row of page) yield tagLine(repository.name, row);
    const end = page.at(-1);
    if (end === undefined || page.length < pageRows) return;
    last = end.name;
  }
}

async function* namedManifests(read: Queries, wanted: readonly Named[]): AsyncGenerator<InventoryLine> {
  const rows = await read
    .selectFrom('manifests')
    .select(['repository_uid', ...manifestColumns])
    .where(isOneOf(sql.ref('digest'), wanted))
    .execute();
  const byKey = new Map(rows.map((row) => [keyOf(row.repository_uid, row.digest), row]));
  for (const { repository, name } of wanted) {
    const row = byKey.get(keyOf(repository.uid, name));
    if (row === undefined) yield { kind: 'manifestGone', repository: repository.name, digest: name };
    else yield manifestLine(repository.name, row);
  }
}

async function* namedTags(read: Queries, wanted: readonly Named[]): AsyncGenerator<InventoryLine> {
  const rows = await read
    .selectFrom('tags')
    .select(['repository_uid', ...tagColumns])
    .where(isOneOf(sql.ref('name'), wanted))
    .execute();
  const byKey = new Map(rows.map((row) => [keyOf(row.repository_uid, row.name), row]));
  for (const { repository, name } of wanted) {
    const row = byKey.get(keyOf(repository.uid, name));
    if (row === undefined) yield { kind: 'tagGone', repository: repository.name, tag: name };
    else yield tagLine(repository.name, row);
  }
}

function isOneOf(column: Expression<unknown>, wanted: readonly Named[]): Expression<boolean> {
  const keys = wanted.map(({ repository, name }) => sql`(${repository.uid}, ${name})`);
  return sql<boolean>`(repository_uid, ${column}) in (values ${sql.join(keys)})`;
}

function keyOf(repositoryUid: string, name: string): string {
  return `${repositoryUid}/${name}`;
}

type ManifestRow = {
  readonly digest: string;
  readonly media_type: string;
  readonly locks: number;
  readonly created_at: number;
  readonly changed_at: number;
  readonly body: Uint8Array;
};

function manifestLine(repository: string, row: ManifestRow): InventoryLine {
  const { digest, media_type: mediaType, locks, created_at: createdAt, changed_at: changedAt } = row;
  const body = Buffer.from(row.body).toString('base64');
  return { kind: 'manifest', repository, digest, mediaType, locks, createdAt, changedAt, body };
}

type TagRow = {
  readonly name: string;
  readonly digest: string;
  readonly hybrid_time: number;
  readonly region: string;
  readonly locks: number;
  readonly created_at: number;
  readonly changed_at: number;
};

function tagLine(repository: string, row: TagRow): InventoryLine {
  const { name: tag, digest, hybrid_time: hybridTime, region, locks } = row;
  const at = { createdAt: row.created_at, changedAt: row.changed_at };
  return { kind: 'tag', repository, tag, digest, hybridTime, region, locks, ...at };
}
