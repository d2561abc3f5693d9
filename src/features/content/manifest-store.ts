import { sql } from 'kysely';
import type { Digest } from '../../core/digest.ts';
import type { Manifest } from '../../core/manifest.ts';
import type { Tag } from '../../core/reference.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { hotQuery, hotRows, hotStatement, ofEach } from '../../platform/database/hot-query.ts';
import { forEachKind, lockedForKeyShare } from '../../platform/database/locks.ts';
import type { Answer } from '../../platform/database/send-ahead.ts';
import { lockBits } from './attributes.ts';
import { fromRepository } from './repository-store.ts';

/** A manifest as pushed. */
export type StoredManifest = {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly body: Uint8Array;
};

const manifestColumns = [
  'm.digest',
  'm.media_type as mediaType',
  'm.body',
  'm.locks as manifestLocks',
  'r.locks as repositoryLocks',
] as const;

/** One manifest by tag or by digest, beside the tenant's current access epoch; one row whenever the registry exists. */
export function createManifestQueries(database: Database) {
  return {
    byTag: hotQuery(database.read, ['registry', 'repository', 'tag'], (queries, parameter) =>
      fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') })
        .leftJoin('tags as n', (join) =>
          join.onRef('n.repository_uid', '=', 'r.uid').on('n.name', '=', parameter('tag')),
        )
        .leftJoin('manifests as m', (join) =>
          join.onRef('m.repository_uid', '=', 'r.uid').onRef('m.digest', '=', 'n.digest'),
        )
        .select([...manifestColumns, 'n.locks as tagLocks']),
    ),
    byDigest: hotQuery(database.read, ['registry', 'repository', 'digest'], (queries, parameter) =>
      fromRepository(queries, { registry: parameter('registry'), repository: parameter('repository') })
        .leftJoin('manifests as m', (join) =>
          join.onRef('m.repository_uid', '=', 'r.uid').on('m.digest', '=', parameter('digest')),
        )
        .select([...manifestColumns, sql<null>`null`.as('tagLocks')]),
    ),
  };
}

/** Resolves to a wait for the digests that are not there; as `sendAhead`. */
export type Missing = () => Promise<Digest[]>;

/** Asks for the digests among `wanted` that this repository cannot show: no link, or damaged bytes. Keeps the others from being collected. */
export async function askForMissingBlobs(
  tx: Transaction,
  kind: Database['kind'],
  place: { readonly registryUid: string; readonly repositoryUid: string },
  wanted: readonly Digest[],
): Promise<Missing> {
  if (wanted.length === 0) return none;
  const { registryUid: registry, repositoryUid: repository } = place;
  const items = wanted.map((digest) => ({ digest }));
  return missingOf(wanted, await shownBlobs[kind].ahead(tx, { registry, repository }, items));
}

/** The same, waited for. */
export async function missingBlobs(...question: Parameters<typeof askForMissingBlobs>): Promise<Digest[]> {
  const missing = await askForMissingBlobs(...question);
  return await missing();
}

async function none(): Promise<Digest[]> {
  return [];
}

function missingOf(wanted: readonly Digest[], found: Answer<{ readonly digest: string }>): Missing {
  return async () => {
    const present = new Set((await found()).map((row) => row.digest));
    return wanted.filter((digest) => !present.has(digest));
  };
}

const shownBlobs = forEachKind((kind) =>
  hotRows(['registry', 'repository'], ['digest'], (on, parameter, items) => {
    const query = on
      .selectFrom('blob_links as l')
      .innerJoin('blobs as b', (join) =>
        join.on('b.registry_uid', '=', parameter<string>('registry')).onRef('b.digest', '=', 'l.digest'),
      )
      .where('l.repository_uid', '=', parameter<string>('repository'))
      .where('l.digest', 'in', ofEach(items, 'digest'))
      .where('b.state', '=', 'ready')
      // One order for all who lock blobs: nobody waits in a circle.
      .orderBy('l.digest')
      .select(['l.digest']);
    return lockedForKeyShare(kind, query, 'b', 'l');
  }),
);

/** Asks for the digests among `wanted` that are no manifests of this repository. Keeps the others from being deleted. */
export async function askForMissingManifests(
  tx: Transaction,
  kind: Database['kind'],
  repositoryUid: string,
  wanted: readonly Digest[],
): Promise<Missing> {
  if (wanted.length === 0) return none;
  const items = wanted.map((digest) => ({ digest }));
  return missingOf(wanted, await shownManifests[kind].ahead(tx, { repository: repositoryUid }, items));
}

const shownManifests = forEachKind((kind) =>
  hotRows(['repository'], ['digest'], (on, parameter, items) => {
    const query = on
      .selectFrom('manifests as m')
      .where('m.repository_uid', '=', parameter<string>('repository'))
      .where('m.digest', 'in', ofEach(items, 'digest'))
      .select(['m.digest']);
    return lockedForKeyShare(kind, query, 'm');
  }),
);

export type ManifestInsert = {
  readonly repositoryUid: string;
  readonly stored: StoredManifest;
  readonly manifest: Manifest;
  readonly nowMicros: number;
};

/**
 * Stores a manifest and what it references; a second push of the same bytes changes nothing. Nobody deletes it meanwhile: deletions of
 * a repository wait for its pushes. Answers whether it is new, as `sendAhead`.
 */
export async function insertManifest(tx: Transaction, insert: ManifestInsert): Promise<() => Promise<boolean>> {
  const { repositoryUid, stored, manifest } = insert;
  const made = await insertRow(tx, insert);
  const references = new Map<Digest, 'blob' | 'manifest'>();
  for (const blob of [...manifest.blobs, ...manifest.nonDistributable]) references.set(blob.digest, 'blob');
  for (const child of manifest.children) references.set(child.digest, 'manifest');
  const rows = [...references].map(([digest, referenceKind]) => ({ digest, kind: referenceKind }));
  const of = { repository: repositoryUid, manifest: stored.digest };
  for (let start = 0; start < rows.length; start += referencesPerInsert) {
    await insertReferences.ahead(tx, of, rows.slice(start, start + referencesPerInsert));
  }
  return async () => (await made()).length > 0;
}

const insertReferences = hotRows(['repository', 'manifest'], ['digest', 'kind'], (on, parameter, items) =>
  on
    .insertInto('manifest_references')
    .values(
      items.map((item) => ({
        repository_uid: parameter<string>('repository'),
        manifest_digest: parameter<string>('manifest'),
        digest: item<string>('digest'),
        kind: item<'blob' | 'manifest'>('kind'),
      })),
    )
    .onConflict((conflict) => conflict.doNothing()),
);

async function insertRow(
  tx: Transaction,
  { repositoryUid, stored, manifest, nowMicros }: ManifestInsert,
): Promise<Answer<{ readonly digest: string }>> {
  const isReferrer = manifest.subject !== undefined && manifest.annotations !== undefined;
  return await insertManifestRow.ahead(tx, {
    repository: repositoryUid,
    digest: stored.digest,
    mediaType: stored.mediaType,
    artifactType: manifest.artifactType ?? null,
    size: stored.body.byteLength,
    subject: manifest.subject?.digest ?? null,
    annotations: isReferrer ? JSON.stringify(manifest.annotations) : null,
    now: nowMicros,
    body: stored.body,
  });
}

const insertManifestRow = hotStatement(
  ['repository', 'digest', 'mediaType', 'artifactType', 'size', 'subject', 'annotations', 'now', 'body'],
  (on, parameter) =>
    on
      .insertInto('manifests')
      .values({
        repository_uid: parameter('repository'),
        digest: parameter('digest'),
        media_type: parameter('mediaType'),
        artifact_type: parameter('artifactType'),
        size: parameter('size'),
        subject_digest: parameter('subject'),
        annotations: parameter('annotations'),
        created_at: parameter('now'),
        changed_at: parameter('now'),
        body: parameter('body'),
      })
      .onConflict((conflict) => conflict.columns(['repository_uid', 'digest']).doNothing())
      .returning('digest'),
);

/** A push without a tag of what is here already: whoever goes by its age begins anew. */
export async function touchManifest(
  tx: Transaction,
  repositoryUid: string,
  digest: Digest,
  nowMicros: number,
): Promise<void> {
  await tx
    .updateTable('manifests')
    .set({ changed_at: nowMicros })
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .execute();
}

/** Replaces the stored bytes where they were damaged. `stored` was just checked against its digest. */
export async function repairManifest(
  tx: Transaction,
  repositoryUid: string,
  { digest, body }: StoredManifest,
): Promise<void> {
  await tx
    .updateTable('manifests')
    .set({ body, size: body.byteLength })
    .where('repository_uid', '=', repositoryUid)
    .where('digest', '=', digest)
    .where('body', '<>', body)
    .execute();
}

/** Keeps the statement far below the parameter limits of both databases. */
const referencesPerInsert = 500;

/** Where a tag shall point. */
export type TagTarget = {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly region: string;
  readonly nowMicros: number;
};

/** `previous` is what the tag pointed at before, where that was something else; `isNew` when there was no such tag. */
export type TagWrite = { readonly hybridTime: number; readonly previous: string | undefined; readonly isNew: boolean };

/**
 * Points a tag at a manifest. Its hybrid time is higher than any it had before: writers of one tag are ordered by it.
 * Undefined when a lock keeps the tag where it is.
 */
export async function setTag(tx: Transaction, repositoryUid: string, target: TagTarget): Promise<TagWrite | undefined> {
  const { tag, digest, region, nowMicros } = target;
  const row = await upsertTag(tx, { repository: repositoryUid, tag, digest, region, now: nowMicros });
  if (row === undefined) return undefined;
  const { hybrid_time: hybridTime, previous_digest: previous } = row;
  const isSame = previous === null || previous === target.digest;
  return { hybridTime, previous: isSame ? undefined : previous, isNew: previous === null };
}

const upsertTag = hotStatement(['repository', 'tag', 'digest', 'region', 'now'], (on, parameter) =>
  on
    .insertInto('tags')
    .values({
      repository_uid: parameter('repository'),
      name: parameter('tag'),
      digest: parameter('digest'),
      hybrid_time: parameter('now'),
      region: parameter('region'),
      created_at: parameter('now'),
      changed_at: parameter('now'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['repository_uid', 'name'])
        .doUpdateSet({
          digest: (excluded) => excluded.ref('excluded.digest'),
          previous_digest: (row) => row.ref('tags.digest'),
          hybrid_time: sql<number>`case when tags.hybrid_time >= excluded.hybrid_time then tags.hybrid_time + 1 else excluded.hybrid_time end`,
          region: (excluded) => excluded.ref('excluded.region'),
          changed_at: (excluded) => excluded.ref('excluded.changed_at'),
        })
        .where(sql<boolean>`(tags.locks & ${sql.lit(lockBits.writeEnabled)}) = 0`),
    )
    .returning(['hybrid_time', 'previous_digest']),
);

/**
 * The same for a tag that is written once: `here` when it points at this manifest already, `taken` when at another one.
 * Nothing is changed then.
 */
export async function setTagOnce(
  tx: Transaction,
  repositoryUid: string,
  target: TagTarget,
): Promise<TagWrite | 'here' | 'taken'> {
  while (true) {
    const row = await tx
      .insertInto('tags')
      .values(tagRow(repositoryUid, target))
      .onConflict((conflict) => conflict.columns(['repository_uid', 'name']).doNothing())
      .returning('hybrid_time')
      .executeTakeFirst();
    if (row !== undefined) return { hybridTime: row.hybrid_time, previous: undefined, isNew: true };
    const held = await tx
      .selectFrom('tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '=', target.tag)
      .select('digest')
      .executeTakeFirst();
    if (held !== undefined) return held.digest === target.digest ? 'here' : 'taken';
  }
}

function tagRow(repositoryUid: string, { tag, digest, region, nowMicros }: TagTarget) {
  return {
    repository_uid: repositoryUid,
    name: tag,
    digest,
    hybrid_time: nowMicros,
    region,
    created_at: nowMicros,
    changed_at: nowMicros,
  };
}
