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
    if (end === undefined) return;
    last = end.name;
  }
}

/** The present state of what events of a registry named: it may be newer than the events. */
export async function* touchedLines(
  read: Queries,
  registryUid: string,
  events: readonly JournalEvent[],
): AsyncGenerator<InventoryLine> {
  for (const [repository, touched] of touchedBy(events)) {
    if (touched.isGone) yield { kind: 'repositoryGone', repository };
    const row = await read
      .selectFrom('repositories')
      .select(['uid', 'name', 'locks', 'created_at', 'changed_at'])
      .where('registry_uid', '=', registryUid)
      .where('name', '=', repository)
      .executeTakeFirst();
    if (row === undefined) {
      yield { kind: 'repositoryGone', repository };
      continue;
    }
    yield repositoryLine(row);
    yield* namedManifests(read, row, [...touched.digests]);
    yield* namedTags(read, row, [...touched.tags]);
  }
}

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
    if (end === undefined) return;
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
    if (end === undefined) return;
    last = end.name;
  }
}

async function* namedManifests(
  read: Queries,
  { uid, name: repository }: RepositoryRow,
  digests: readonly string[],
): AsyncGenerator<InventoryLine> {
  for (let start = 0; start < digests.length; start += pageRows) {
    const some = digests.slice(start, start + pageRows);
    const rows = await read
      .selectFrom('manifests')
      .select([...manifestColumns])
      .where('repository_uid', '=', uid)
      .where('digest', 'in', some)
      .execute();
    for (const row of rows) yield manifestLine(repository, row);
    const found = new Set(rows.map((row) => row.digest));
    for (const digest of some) if (!found.has(digest)) yield { kind: 'manifestGone', repository, digest };
  }
}

async function* namedTags(
  read: Queries,
  { uid, name: repository }: RepositoryRow,
  tags: readonly string[],
): AsyncGenerator<InventoryLine> {
  for (let start = 0; start < tags.length; start += pageRows) {
    const some = tags.slice(start, start + pageRows);
    const rows = await read
      .selectFrom('tags')
      .select([...tagColumns])
      .where('repository_uid', '=', uid)
      .where('name', 'in', some)
      .execute();
    for (const row of rows) yield tagLine(repository, row);
    const found = new Set(rows.map((row) => row.name));
    for (const tag of some) if (!found.has(tag)) yield { kind: 'tagGone', repository, tag };
  }
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
