import { sql } from 'kysely';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import type { Authority } from '../access/authority.ts';
import { requireOn } from '../content/attributes.ts';
import type { AuthorizedChange, Change } from '../content/authorized-change.ts';
import { eventsOf } from '../content/content-events.ts';
import { forgetManifests } from '../content/deleted-content.ts';
import type { Place } from '../content/place.ts';
import { touchRepository } from '../content/repository-store.ts';
import { disuseBlobs } from '../content/storage-use.ts';

export type DeletedExpiryParts = {
  readonly database: Database;
  readonly change: AuthorizedChange;
  readonly clock: Clock;
  readonly log: Log;
  readonly region: string;
  /** Of the policy itself. */
  readonly authority: Authority;
};

const slice = 200;
/** Tags are rows alone: many more go at once. */
const tagSlice = 1_000;
const dayMicros = 86_400_000_000;

type Due = {
  readonly registryUid: string;
  readonly repositoryUid: string;
  readonly repository: string;
  readonly digest: string;
  readonly deletedAt: number;
};

/**
 * Drops for good what was deleted longer ago than its registry keeps such things, by the number of days that holds now. A
 * policy that is switched off keeps what it has for as long. Blobs that nothing needs any more go to garbage collection.
 * Source: ACR semantics, 8.2.
 */
export async function expireDeleted(parts: DeletedExpiryParts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<number> {
  const { database, clock, log } = parts;
  const nowMicros = clock.nowMicros();
  let count = 0;
  // One repository that fails holds no other up.
  const failed = new Map<string, unknown>();
  while (!job.signal.aborted) {
    const due = await dueManifests(database.read, nowMicros, [...failed.keys()]);
    const before = { count, failed: failed.size };
    for (const [uid, some] of Map.groupBy(due, (each) => each.repositoryUid))
      try {
        count += await drop(parts, some, { authority: parts.authority, dueBefore: byPolicy(nowMicros) });
      } catch (error) {
        failed.set(uid, error);
      }
    if (count === before.count && failed.size === before.failed) break;
    await job.renew();
  }
  for (let hasMore = true; hasMore && !job.signal.aborted; ) {
    hasMore = (await database.transaction(async (tx) => await expireTags(tx, nowMicros))) === tagSlice;
    await job.renew();
  }
  if (count > 0) log.info('deleted manifests dropped for good', { count });
  const problems = [...failed.values()];
  if (problems.length > 0)
    throw new AggregateError(problems, 'deleted manifests could not be dropped', { cause: problems[0] });
  return count;
}

/** Some of them, but for what is deleted anew while this waits for it; answers how many. */
async function expireTags(tx: Transaction, nowMicros: number): Promise<number> {
  const rows = await tx
    .deleteFrom('deleted_tags')
    .where(
      sql<boolean>`(repository_uid, name, digest, deleted_at) in (
        select t.repository_uid, t.name, t.digest, t.deleted_at from deleted_tags t
        join repositories r on r.uid = t.repository_uid
        join registries g on g.uid = r.registry_uid
        where t.deleted_at <= ${nowMicros} - g.deleted_days * ${sql.lit(dayMicros)}
        limit ${sql.lit(tagSlice)})`,
    )
    .returning('name')
    .execute();
  return rows.length;
}

/** Who lengthens the policy while things are being dropped means those that are still there. */
function byPolicy(nowMicros: number): Dropping['dueBefore'] {
  return async ({ tx }, { registryUid }) => {
    const { days } = await tx
      .selectFrom('registries')
      .where('uid', '=', registryUid)
      .select('deleted_days as days')
      .executeTakeFirstOrThrow();
    return nowMicros - days * dayMicros;
  };
}

/**
 * Drops everything deleted of a repository at once, but for what is deleted while this goes on; a lock that is set meanwhile
 * ends it where it stands. Answers how many manifests that were. Throws `contentLocked`.
 */
export async function dropDeleted(
  parts: Omit<DeletedExpiryParts, 'authority'>,
  place: Place,
  authority: Authority,
): Promise<number> {
  const requireUnlocked = ({ repositoryLocks }: Change) =>
    requireOn({ repository: place.repository }, repositoryLocks, 'writeEnabled', 'deleteEnabled');
  const lastMicros = await parts.change(
    place,
    authority,
    async (change) => {
      requireUnlocked(change);
      await touchRepository(change, parts.clock.nowMicros());
      return await lastDeletionMicros(change);
    },
    { isExclusive: true },
  );
  const dueBefore: Dropping['dueBefore'] = async (change) => {
    requireUnlocked(change);
    return lastMicros;
  };
  let count = 0;
  while (true) {
    const due = await keptIn(parts.database.read, place, lastMicros);
    if (due.length === 0) break;
    count += await drop(parts, due, { authority, dueBefore });
  }
  await parts.change(
    place,
    authority,
    async (change) => {
      requireUnlocked(change);
      await forgetTags(change, lastMicros);
    },
    { isExclusive: true },
  );
  return count;
}

/** When the last of what is kept was deleted, by the clock of whoever deleted it. */
async function lastDeletionMicros({ tx, repositoryUid = '' }: Change): Promise<number> {
  let last = 0;
  for (const table of ['deleted_manifests', 'deleted_tags'] as const) {
    const row = await tx
      .selectFrom(table)
      .where('repository_uid', '=', repositoryUid)
      .select((on) => on.fn.max<number | null>('deleted_at').as('at'))
      .executeTakeFirst();
    last = Math.max(last, row?.at ?? 0);
  }
  return last;
}

/** All but those of what was deleted a moment ago. */
async function forgetTags({ tx, repositoryUid = '' }: Change, lastMicros: number): Promise<void> {
  await tx
    .deleteFrom('deleted_tags')
    .where('repository_uid', '=', repositoryUid)
    .where('deleted_at', '<=', lastMicros)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('deleted_manifests as k')
            .whereRef('k.repository_uid', '=', 'deleted_tags.repository_uid')
            .whereRef('k.digest', '=', 'deleted_tags.digest')
            .select('k.digest'),
        ),
      ),
    )
    .execute();
}

/** Indexes go before what they list: nothing that can be restored misses a part, wherever this is cut off. */
const isMissedByNone = sql<boolean>`(
  exists (select 1 from manifests m where m.repository_uid = d.repository_uid and m.digest = d.digest)
  or not exists (select 1 from deleted_references x
    where x.repository_uid = d.repository_uid and x.digest = d.digest and x.kind = 'manifest'))`;

async function dueManifests(queries: Queries, nowMicros: number, without: readonly string[]): Promise<Due[]> {
  return await kept(queries)
    .$if(without.length > 0, (some) => some.where('d.repository_uid', 'not in', without))
    .where(sql<boolean>`d.deleted_at <= ${nowMicros} - g.deleted_days * ${sql.lit(dayMicros)}`)
    .where(isMissedByNone)
    .orderBy('d.deleted_at')
    .limit(slice)
    .execute();
}

async function keptIn(queries: Queries, { registryUid, repository }: Place, lastMicros: number): Promise<Due[]> {
  return await kept(queries)
    .where('r.registry_uid', '=', registryUid)
    .where('r.name', '=', repository)
    .where('d.deleted_at', '<=', lastMicros)
    .where(isMissedByNone)
    .orderBy('d.digest')
    .limit(slice)
    .execute();
}

function kept(queries: Queries) {
  return queries
    .selectFrom('deleted_manifests as d')
    .innerJoin('repositories as r', 'r.uid', 'd.repository_uid')
    .innerJoin('registries as g', 'g.uid', 'r.registry_uid')
    .where('g.is_deleting', '=', 0)
    .select([
      'r.registry_uid as registryUid',
      'd.repository_uid as repositoryUid',
      'r.name as repository',
      'd.digest',
      'd.deleted_at as deletedAt',
    ]);
}

type Dropping = {
  readonly authority: Authority;
  /** Asked in the transaction: only what was deleted at that moment or before goes. */
  readonly dueBefore: (change: Change, place: Place) => Promise<number>;
};

/** Those of one repository that were not restored, or deleted again, meanwhile. */
async function drop(
  parts: Omit<DeletedExpiryParts, 'authority'>,
  due: readonly Due[],
  { authority, dueBefore }: Dropping,
): Promise<number> {
  const [first] = due;
  if (first === undefined) return 0;
  const { registryUid, repositoryUid } = first;
  const place = { registryUid, repository: parseRepositoryName(first.repository) };
  const event = eventsOf(place, authority, parts.region);
  return await parts.change(
    place,
    authority,
    async (change) => {
      const { tx, append } = change;
      const leaving = await stillDue(tx, due, await dueBefore(change, place));
      if (leaving.length === 0) return 0;
      const blobs = await forgetManifests(tx, { repositoryUid, digests: leaving.map(({ digest }) => digest) });
      for (const { digest, size } of leaving) append(event('manifest.purged', { digest, sizeBytes: size }));
      const nowMicros = parts.clock.nowMicros();
      const bytes = leaving.reduce((sum, { size }) => sum + size, 0);
      await disuseBlobs(tx, parts.database.kind, { registryUid, digests: blobs, bytes, nowMicros });
      return leaving.length;
    },
    { isExclusive: true },
  );
}

/** Of manifests of one repository those that are kept as they were seen, with their bytes. */
async function stillDue(
  tx: Transaction,
  due: readonly Due[],
  beforeMicros: number,
): Promise<readonly { readonly digest: string; readonly size: number }[]> {
  const seen = new Map(due.map(({ digest, deletedAt }) => [digest, deletedAt]));
  const rows = await tx
    .selectFrom('deleted_manifests')
    .where('repository_uid', '=', due[0]?.repositoryUid ?? '')
    .where('digest', 'in', [...seen.keys()])
    .where('deleted_at', '<=', beforeMicros)
    .orderBy('digest')
    .select(['digest', 'size', 'deleted_at as deletedAt'])
    .execute();
  return rows.filter(({ digest, deletedAt }) => seen.get(digest) === deletedAt);
}
