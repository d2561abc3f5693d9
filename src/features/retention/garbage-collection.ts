import { type Expression, sql } from 'kysely';
import { z } from 'zod';
import type { BlobStore, StorageKey } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Failpoint } from '../../platform/failpoints.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import { isBlobHeld } from '../content/deleted-content.ts';
import { saveWalk, walkPosition } from './walk-store.ts';

export type CollectionParts = {
  readonly database: Database;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly failpoint: Failpoint;
};

export type Collected = { readonly blobs: number; readonly bytes: number };

const walkName = 'garbage';
const slice = 200;
/** Transactions that set a grace are over by then; each runs for a few seconds at most. */
const settleMicros = 15_000_000;
/** Every blob is looked at this often, whatever the walk believes. */
const wholeEveryMicros = 24 * 3_600_000_000;

const positionSchema = z.object({
  graceUntil: z.number(),
  registryUid: z.string(),
  digest: z.string(),
  /** When the last walk over everything began. */
  wholeSince: z.number(),
});
type Position = z.infer<typeof positionSchema>;
type BlobKey = { readonly registryUid: string; readonly digest: string; readonly graceUntil: number };

/**
 * Frees the blobs that nothing references, while pushes and pulls go on. A blob is looked at once its grace has ended, in the
 * order in which graces end; whatever takes away a reference, or tells a client that the blob is here, moves that end on, so
 * that it is looked at again. Rows go first and bytes after the commit: a crash leaves bytes without a name, which the sweep
 * of orphans frees. A push of the same digest meanwhile gets other bytes under another key.
 */
export async function collectGarbage(
  parts: CollectionParts,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<Collected> {
  const { database, clock } = parts;
  const nowMicros = clock.nowMicros();
  let position = await startPosition(database.read, nowMicros);
  let total: Collected = { blobs: 0, bytes: 0 };
  while (!job.signal.aborted) {
    const blobs = await nextBlobs(database.read, position, nowMicros - settleMicros);
    const last = blobs.at(-1);
    if (last === undefined) break;
    const freed = await freeUnheld(parts, blobs);
    total = { blobs: total.blobs + freed.blobs, bytes: total.bytes + freed.bytes };
    position = { ...position, ...last };
    await job.renew();
  }
  await database.transaction(async (tx) => await saveWalk(tx, { name: walkName, position, nowMicros }));
  if (total.blobs > 0) parts.log.info('unreferenced blobs freed', total);
  return total;
}

async function startPosition(queries: Queries, nowMicros: number): Promise<Position> {
  const position = positionSchema.safeParse(await walkPosition(queries, walkName)).data;
  const isDue = position === undefined || position.wholeSince + wholeEveryMicros <= nowMicros;
  return isDue ? { graceUntil: 0, registryUid: '', digest: '', wholeSince: nowMicros } : position;
}

async function nextBlobs(queries: Queries, after: Position, before: number): Promise<BlobKey[]> {
  return await queries
    .selectFrom('blobs as b')
    .where(
      sql<boolean>`(b.grace_until, b.registry_uid, b.digest) > (${after.graceUntil}, ${after.registryUid}, ${after.digest})`,
    )
    .where('b.grace_until', '<', before)
    .orderBy('b.grace_until')
    .orderBy('b.registry_uid')
    .orderBy('b.digest')
    .select(['b.registry_uid as registryUid', 'b.digest', 'b.grace_until as graceUntil'])
    .limit(slice)
    .execute();
}

/** Most blobs are referenced everywhere they are linked: those cost one look without a lock. */
async function freeUnheld(parts: CollectionParts, blobs: readonly BlobKey[]): Promise<Collected> {
  const { database, store, failpoint } = parts;
  let freed: Collected = { blobs: 0, bytes: 0 };
  for (const [registryUid, ofRegistry] of Map.groupBy(blobs, (blob) => blob.registryUid)) {
    const digests = ofRegistry.map((blob) => blob.digest);
    const suspects = await unheldDigests(database.read, registryUid, digests);
    if (suspects.length === 0) continue;
    await failpoint('gc.commit.before');
    const rows = await database.transaction(async (tx) => await removeRows(parts, tx, registryUid, suspects));
    await failpoint('gc.commit.after');
    if (rows.length > 0) await store.removeMany(rows.map((row) => row.storageKey));
    freed = { blobs: freed.blobs + rows.length, bytes: freed.bytes + rows.reduce((sum, row) => sum + row.bytes, 0) };
  }
  return freed;
}

/** Blobs without a link, or with one in a repository where nothing references them. */
async function unheldDigests(queries: Queries, registryUid: string, digests: readonly string[]): Promise<string[]> {
  const rows = await queries
    .selectFrom('blobs as b')
    .where('b.registry_uid', '=', registryUid)
    .where('b.digest', 'in', digests)
    .where((where) => {
      const links = linksOf(queries, registryUid, where.ref('b.digest'));
      const idle = links.where(where.not(isBlobHeld(sql.ref('k.repository_uid'), sql.ref('k.digest'))));
      return where.or([where.not(where.exists(links)), where.exists(idle)]);
    })
    .select('b.digest')
    .execute();
  return rows.map((row) => row.digest);
}

/** The links of one registry's repositories to a blob. */
function linksOf(queries: Queries, registryUid: string, digest: Expression<string>) {
  return queries
    .selectFrom('blob_links as k')
    .innerJoin('repositories as r', 'r.uid', 'k.repository_uid')
    .where('k.digest', '=', digest)
    .where('r.registry_uid', '=', registryUid)
    .select('k.digest');
}

/**
 * Locks the blobs, then looks again: a push that relies on one has the lock and is seen here, or waits and finds it gone.
 * Answers what has to leave the store.
 */
async function removeRows(
  { database, clock }: CollectionParts,
  tx: Transaction,
  registryUid: string,
  suspects: readonly string[],
): Promise<{ readonly storageKey: StorageKey; readonly bytes: number }[]> {
  const wanted = tx
    .selectFrom('blobs')
    .where('registry_uid', '=', registryUid)
    .where('digest', 'in', suspects)
    .where('grace_until', '<', clock.nowMicros())
    .orderBy('digest')
    .select('digest');
  const locked = (await lockedForUpdate(database.kind, wanted).execute()).map((row) => row.digest);
  if (locked.length === 0) return [];
  await tx
    .deleteFrom('blob_links')
    .where('digest', 'in', locked)
    .where('repository_uid', 'in', tx.selectFrom('repositories').where('registry_uid', '=', registryUid).select('uid'))
    .where((where) => where.not(isBlobHeld(sql.ref('blob_links.repository_uid'), sql.ref('blob_links.digest'))))
    .execute();
  return await tx
    .deleteFrom('blobs')
    .where('registry_uid', '=', registryUid)
    .where('digest', 'in', locked)
    .where((where) => where.not(where.exists(linksOf(tx, registryUid, where.ref('blobs.digest')))))
    .returning(['storage_key as storageKey', 'stored_size as bytes'])
    .execute();
}
