import { type Digest, parseDigest } from '../../core/digest.ts';
import { type Manifest, parseManifest } from '../../core/manifest.ts';
import { parseTag } from '../../core/reference.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { commitBlob, linkBlob } from '../../features/content/blob-commit.ts';
import { type EventOf, eventsOf } from '../../features/content/content-events.ts';
import { insertManifest } from '../../features/content/manifest-store.ts';
import { addUsage, useBlobsOf } from '../../features/content/storage-use.ts';
import { ownAuthority } from '../../features/retention/own-authority.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { FoundBlob, FoundContent, FoundManifest, FoundRepository, FoundTag } from './found-content.ts';
import { lossOf } from './scan-blobs.ts';

export type ContentParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly region: string;
  readonly found: FoundContent;
};

/** What a manifest names and is not there. */
export type Missing = {
  readonly kind: 'blob' | 'manifest';
  readonly registry: string;
  readonly repository: string;
  readonly digest: string;
};

export type RegistryAccount = {
  readonly name: string;
  readonly repositories: number;
  readonly manifests: number;
  readonly tags: number;
  readonly missing: readonly Missing[];
};

/** A registry as the store knows it, and its uid in the new database. */
export type Rebuilt = { readonly name: string; readonly foundUid: string; readonly uid: string };

/** Changes in one transaction; at most 500 events. */
const slice = 100;
/** What nothing names leaves after it: time to look. */
const graceMicros = 30 * 24 * 3_600_000_000;

/** Writes what the store says of one registry into the database. Done again it changes nothing. */
export async function rebuildContent(parts: ContentParts, registry: Rebuilt): Promise<RegistryAccount> {
  const repositories = parts.found.repositories(registry.foundUid);
  const uids = await writeRepositories(parts, registry, repositories);
  const missing = await writeBlobs(parts, registry, uids);
  let [manifests, tags] = [0, 0];
  for (const repository of repositories) {
    const at = { ...registry, repository: repository.repository, repositoryUid: uidOf(uids, repository.repository) };
    const written = await writeManifests(parts, at);
    manifests += written.count;
    missing.push(...written.missing);
    tags += await writeTags(parts, at);
    await settleRepository(parts, at, repository);
  }
  return { name: registry.name, repositories: repositories.length, manifests, tags, missing };
}

/** Keeps for a while, in a registry, what no manifest names. */
export async function keepStrays(
  { database, clock, found }: ContentParts,
  registryUid: string,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const strays = found.strayBlobs();
  const nowMicros = clock.nowMicros();
  for (const some of slicesOf(strays)) {
    await database.transaction((tx) =>
      tx
        .insertInto('blobs')
        .values(
          some.map(({ digest, key, sizeBytes, checksums }) => ({
            registry_uid: registryUid,
            digest,
            storage_key: key,
            size: sizeBytes,
            stored_size: sizeBytes,
            format: 'plain' as const,
            scope: '',
            state: 'ready' as const,
            created_at: nowMicros,
            grace_until: nowMicros + graceMicros,
            checksums,
          })),
        )
        .onConflict((conflict) => conflict.columns(['registry_uid', 'digest']).doNothing())
        .execute(),
    );
  }
  return { blobs: strays.length, bytes: strays.reduce((total, { sizeBytes }) => total + sizeBytes, 0) };
}

type At = Rebuilt & { readonly repository: string; readonly repositoryUid: string };

async function writeRepositories(
  { database, ids }: ContentParts,
  { uid }: Rebuilt,
  repositories: readonly FoundRepository[],
): Promise<ReadonlyMap<string, string>> {
  for (const some of slicesOf(repositories)) {
    await database.transaction((tx) =>
      tx
        .insertInto('repositories')
        .values(
          some.map(({ repository, createdAt, changedAt }) => ({
            uid: ids.uid(),
            registry_uid: uid,
            name: parseRepositoryName(repository),
            created_at: createdAt,
            changed_at: changedAt,
          })),
        )
        .onConflict((conflict) => conflict.columns(['registry_uid', 'name']).doNothing())
        .execute(),
    );
  }
  const rows = await database.read
    .selectFrom('repositories')
    .select(['uid', 'name'])
    .where('registry_uid', '=', uid)
    .execute();
  return new Map(rows.map((row) => [row.name, row.uid]));
}

async function writeBlobs(
  parts: ContentParts,
  { foundUid, name, uid: registryUid }: Rebuilt,
  uids: ReadonlyMap<string, string>,
): Promise<Missing[]> {
  const { clock, database, found } = parts;
  const missing: Missing[] = [];
  for (const some of slicesOf([...found.wantedBy(foundUid)])) {
    const there: { readonly blob: FoundBlob; readonly digest: Digest; readonly repositories: readonly string[] }[] = [];
    for (const [digest, repositories] of some) {
      const blob = await ownCopy(parts, foundUid, digest);
      if (blob !== undefined) there.push({ blob, digest: parseDigest(digest), repositories });
      else for (const repository of repositories) missing.push({ kind: 'blob', registry: name, repository, digest });
    }
    const nowMicros = clock.nowMicros();
    const times = { registryUid, nowMicros, graceUntilMicros: nowMicros + graceMicros, limitBytes: undefined };
    await database.transaction(async (tx) => {
      for (const { blob, digest, repositories } of there) {
        const [first, ...others] = repositories.map((repository) => uidOf(uids, repository));
        if (first === undefined) continue;
        const finished = { digest, storageKey: blob.key, sizeBytes: blob.sizeBytes, checksums: blob.checksums };
        await commitBlob(tx, { ...times, repositoryUid: first }, finished, undefined);
        for (const repositoryUid of others) await linkBlob(tx, { ...times, repositoryUid }, digest);
      }
    });
  }
  return missing;
}

/** No two registries share bytes: where another one has the only copy, it is copied. Undefined when there is none to be read. */
async function ownCopy(
  { store, found }: ContentParts,
  registry: string,
  digest: string,
): Promise<FoundBlob | undefined> {
  const copy = found.takeCopy(registry, digest);
  if (copy?.isTaken !== true) return copy;
  const handle = await store.begin();
  try {
    const part = await store.part(handle, { number: 1, offset: 0 }, store.read(copy.key));
    return { ...copy, key: await store.complete(handle, [part.token]) };
  } catch (error) {
    await store.abort(handle);
    if (lossOf(error) === undefined) throw error;
    return undefined;
  }
}

async function writeManifests(
  parts: ContentParts,
  at: At,
): Promise<{ readonly count: number; readonly missing: readonly Missing[] }> {
  const { found, journal } = parts;
  const missing: Missing[] = [];
  let count = 0;
  for (let last = ''; ; ) {
    const page = found.manifests(at.foundUid, at.repository, last, slice);
    const end = page.at(-1);
    if (end === undefined) return { count, missing };
    const parsed = page.map((kept) => ({ kept, manifest: parseManifest(kept.body, kept.mediaType) }));
    await journal.transaction(async (tx, append) => {
      const event = eventOf(parts, at);
      for (const { kept, manifest } of parsed)
        if (await writeManifest(tx, at, kept, manifest)) append(pushedEvent(event, kept, manifest));
    });
    for (const { digest } of parsed.flatMap(({ manifest }) => manifest.children))
      if (!found.hasManifest(at.foundUid, at.repository, digest))
        missing.push({ kind: 'manifest', registry: at.name, repository: at.repository, digest });
    count += page.length;
    last = end.digest;
  }
}

async function writeManifest(
  tx: Transaction,
  { uid: registryUid, repositoryUid }: At,
  kept: FoundManifest,
  manifest: Manifest,
): Promise<boolean> {
  const digest = parseDigest(kept.digest);
  const stored = { digest, mediaType: kept.mediaType, body: kept.body };
  const wasInserted = await insertManifest(tx, { repositoryUid, stored, manifest, nowMicros: kept.createdAt });
  if (!(await wasInserted())) return false;
  await tx
    .updateTable('manifests')
    .set({ changed_at: kept.changedAt, locks: kept.locks })
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .execute();
  const usedBytes = await (await useBlobsOf(tx, { registryUid, repositoryUid }, digest))();
  await addUsage(tx, { registryUid, bytes: usedBytes + kept.body.byteLength, limitBytes: undefined });
  return true;
}

/** As a push tells it. */
function pushedEvent(event: EventOf, { digest, mediaType, body }: FoundManifest, manifest: Manifest) {
  const { artifactType, subject } = manifest;
  return event('manifest.pushed', {
    digest,
    mediaType,
    sizeBytes: body.byteLength,
    ...(artifactType !== undefined && { artifactType }),
    ...(subject !== undefined && { subject: subject.digest }),
    tags: [],
  });
}

async function writeTags(parts: ContentParts, at: At): Promise<number> {
  let count = 0;
  for (let last = ''; ; ) {
    const page = parts.found.tags(at.foundUid, at.repository, last, slice);
    const end = page.at(-1);
    if (end === undefined) return count;
    const known = page.filter((tag) => parts.found.hasManifest(at.foundUid, at.repository, tag.digest));
    await parts.journal.transaction(async (tx, append) => {
      const event = eventOf(parts, at);
      for (const tag of known) {
        if (!(await writeTag(tx, at, tag))) continue;
        const { tag: name, digest, region, hybridTime } = tag;
        append(event('tag.set', { tag: name, digest, region, hybridTime, isNew: true }));
      }
    });
    count += known.length;
    last = end.tag;
  }
}

async function writeTag(tx: Transaction, { repositoryUid }: At, tag: FoundTag): Promise<boolean> {
  const row = await tx
    .insertInto('tags')
    .values({
      repository_uid: repositoryUid,
      name: parseTag(tag.tag),
      digest: tag.digest,
      hybrid_time: tag.hybridTime,
      region: tag.region,
      created_at: tag.createdAt,
      changed_at: tag.changedAt,
      locks: tag.locks,
    })
    .onConflict((conflict) => conflict.columns(['repository_uid', 'name']).doNothing())
    .returning('name')
    .executeTakeFirst();
  return row !== undefined;
}

/** Last: what is locked takes no more. */
async function settleRepository(
  { database }: ContentParts,
  { repositoryUid }: At,
  found: FoundRepository,
): Promise<void> {
  await database.transaction((tx) =>
    tx
      .updateTable('repositories')
      .set({ locks: found.locks, created_at: found.createdAt, changed_at: found.changedAt })
      .where('uid', '=', repositoryUid)
      .execute(),
  );
}

function eventOf({ region }: ContentParts, { uid: registryUid, repository }: At): EventOf {
  return eventsOf({ registryUid, repository: parseRepositoryName(repository) }, ownAuthority('rebuild'), region);
}

function uidOf(uids: ReadonlyMap<string, string>, repository: string): string {
  const uid = uids.get(repository);
  if (uid === undefined) throw new Error(`the repository ${repository} was not written`);
  return uid;
}

function* slicesOf<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += slice) yield items.slice(start, start + slice);
}
