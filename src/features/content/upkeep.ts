import type { BlobStore, StoreEntry } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import { ClockJumps } from '../../platform/clock-jumps.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Failpoint } from '../../platform/failpoints.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';

export type UpkeepParts = {
  readonly database: Database;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly failpoint: Failpoint;
  /** Bytes in the store that no row names are left alone for so long: a push may be about to name them. */
  readonly orphanGraceMs: number;
  readonly expiryEveryMs: number;
  readonly sweepEveryMs: number;
};

const batch = 200;

/**
 * The background work that content needs: abandoned uploads end, and bytes that nothing names are freed. After a jump of the
 * clock nothing is removed for the length of a grace: what looks old then may be new.
 */
export function upkeepJobs(parts: UpkeepParts): JobKind[] {
  const jumps = new ClockJumps(parts.clock);
  const unlessJumped = (work: typeof expireUploads) => async (job: JobRun) => {
    if (jumps.evenMs() >= parts.orphanGraceMs) await work(parts, job);
    else parts.log.warn('nothing is removed: the clock was moved', { forMs: parts.orphanGraceMs });
  };
  return [
    {
      kind: 'content.uploads.expire',
      run: unlessJumped(expireUploads),
      leaseMs: 60_000,
      maxAttempts: 5,
      everyMs: parts.expiryEveryMs,
    },
    {
      kind: 'content.orphans.sweep',
      run: unlessJumped(sweepOrphans),
      leaseMs: 60_000,
      maxAttempts: 5,
      everyMs: parts.sweepEveryMs,
    },
  ];
}

/** Removes the rows of sessions nobody touched for too long, then frees their bytes; a crash in between leaves an orphan. */
export async function expireUploads(
  { database, store, clock, failpoint, log }: UpkeepParts,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  while (!job.signal.aborted) {
    const nowMicros = clock.nowMicros();
    const rows = await database.transaction(
      async (tx) =>
        await tx
          .deleteFrom('uploads')
          .where((where) =>
            where(
              'uid',
              'in',
              where
                .selectFrom('uploads')
                .select('uid')
                .where('expires_at', '<', nowMicros)
                .where((or) => or.or([or('lease_owner', 'is', null), or('lease_until', '<', nowMicros)]))
                .orderBy('expires_at')
                .limit(batch),
            ),
          )
          .returning(['uid', 'handle'])
          .execute(),
    );
    for (const { handle } of rows.filter((row) => row.handle !== '')) await store.abort(handle);
    if (rows.length > 0) log.info('expired uploads ended', { count: rows.length });
    await failpoint('expiry.abort.after');
    if (rows.length < batch) return;
    await job.renew();
  }
}

/**
 * Frees bytes in the store that no row names, of a blob, an upload or `kept_bytes`, and that are older than the grace. Storage keys are
 * random and never used again, so what no row names after the grace is named by none later.
 */
export async function sweepOrphans(parts: UpkeepParts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
  const { store, clock } = parts;
  const oldEnough = clock.nowMicros() - parts.orphanGraceMs * 1000;
  let entries: StoreEntry[] = [];
  for await (const entry of store.list('')) {
    if (job.signal.aborted) return;
    if (entry.modifiedMicros > oldEnough) continue;
    entries.push(entry);
    if (entries.length < batch) continue;
    await removeUnnamed(parts, entries);
    await job.renew();
    entries = [];
  }
  await removeUnnamed(parts, entries);
}

async function removeUnnamed(
  { database, store, failpoint, log }: UpkeepParts,
  entries: readonly StoreEntry[],
): Promise<void> {
  if (entries.length === 0) return;
  const keys = entries.map((entry) => entry.key);
  const handles = entries.flatMap((entry) => entry.handle ?? []);
  const uploads =
    handles.length === 0
      ? []
      : await database.read.selectFrom('uploads').select('handle').where('handle', 'in', handles).execute();
  // After the uploads: an upload that is finished meanwhile has its name here by then.
  const blobs = await database.read
    .selectFrom('blobs')
    .select('storage_key')
    .where('storage_key', 'in', keys)
    .execute();
  // What is no blob: contexts and logs of builds.
  const kept = await database.read
    .selectFrom('kept_bytes')
    .select('storage_key')
    .where('storage_key', 'in', keys)
    .execute();
  const named = new Set([...[...blobs, ...kept].map((row) => row.storage_key), ...uploads.map((row) => row.handle)]);
  const orphans = entries.filter((entry) => !named.has(entry.key) && !named.has(entry.handle ?? ''));
  if (orphans.length === 0) return;
  await failpoint('sweep.remove.before');
  for (const { handle } of orphans) if (handle !== undefined) await store.abort(handle);
  await store.removeMany(orphans.filter((orphan) => orphan.handle === undefined).map((orphan) => orphan.key));
  log.info('orphaned bytes freed', { count: orphans.length });
}
