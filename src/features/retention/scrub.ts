import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { z } from 'zod';
import { algorithmOf, type Digest, digestOf, parseDigest } from '../../core/digest.ts';
import { BlobMissing, type BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import type { Log } from '../../platform/log.ts';
import { markDamaged } from '../content/blob-commit.ts';
import { serveAgain } from '../content/serve-again.ts';
import { lockedWalkPosition, saveWalk, walkPosition } from './walk-store.ts';

export type ScrubParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Region of origin of the events about damage. */
  readonly region: string;
  /** Bytes read per second. */
  readonly bytesPerSecond: number;
  /** From the beginning of one walk over all blobs to that of the next. */
  readonly everyMs: number;
  /** A run ends between two blobs after so long; the next one goes on. */
  readonly runMs: number;
};

const walkName = 'scrub';
const slice = 50;
const actor = 'scrub';

const positionSchema = z.object({
  registryUid: z.string(),
  digest: z.string(),
  beganAtMicros: z.number(),
  /** Undefined while the walk goes on. */
  endedAtMicros: z.number().optional(),
  blobs: z.number(),
  bytes: z.number(),
  damaged: z.number(),
});

/** How far the present walk has come, or what the last one found. */
export type ScrubProgress = z.infer<typeof positionSchema>;

type Row = {
  readonly registryUid: string;
  readonly digest: string;
  readonly storageKey: string;
  readonly size: number;
  readonly state: 'ready' | 'damaged';
};

/**
 * Reads every stored blob again and compares it with its digest, at the rate that is set; goes on after a restart where it
 * was. A blob whose bytes are wrong or missing is set aside, never served, and told as `blob.damaged`; the next push of its
 * digest replaces it. One that was set aside and is right again is served again. A store that cannot be reached proves nothing:
 * the walk stops there and tries again later. A few blobs that alone cannot be read are passed over, stay as they are, and are
 * thrown at the end of the run.
 */
export async function scrub(parts: ScrubParts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<ScrubProgress> {
  const { database, clock } = parts;
  const endMs = clock.monotonicMs() + parts.runMs;
  const mayGoOn = () => !job.signal.aborted && clock.monotonicMs() < endMs;
  const problems: unknown[] = [];
  let progress = await startOf(parts);
  while (progress.endedAtMicros === undefined && mayGoOn()) {
    const rows = await nextBlobs(database.read, progress);
    const unread = new Unread();
    for (const row of rows) {
      if (!mayGoOn()) break;
      const bytes = await unread.unlessFails(row, async () => ({ digest: await digestOfBytes(parts, row, job) }));
      if (bytes !== undefined) {
        problems.push(...unread.passed(parts.log));
        progress = past(progress, row, await settle(parts, row, bytes.digest, job));
      }
      await job.renew();
    }
    if (rows.length === 0) progress = { ...progress, endedAtMicros: clock.nowMicros() };
    const last = rows.at(-1);
    if (last !== undefined && unread.count === rows.length && !job.signal.aborted) {
      // Nothing comes after them that could be read. The store has answered before, and does now.
      if (progress.blobs === 0) throw unread.first;
      await parts.store.check();
      problems.push(...unread.passed(parts.log));
      progress = { ...progress, registryUid: last.registryUid, digest: last.digest };
    }
    // Begun anew by somebody meanwhile: this run goes on there.
    if (!(await saveStep(parts, progress))) progress = await startOf(parts);
  }
  if (problems.length > 0) throw new AggregateError(problems, 'stored blobs could not be read', { cause: problems[0] });
  return progress;
}

function past(progress: ScrubProgress, { registryUid, digest, size }: Row, isGood: boolean): ScrubProgress {
  const { blobs, bytes, damaged } = progress;
  const counts = { blobs: blobs + 1, bytes: bytes + size, damaged: damaged + (isGood ? 0 : 1) };
  return { ...progress, registryUid, digest, ...counts };
}

/** Of so many one after the other it is the store that fails. */
const mostUnread = 10;

/** Blobs in a row that could not be read, until one can. */
class Unread {
  #all: { readonly row: Row; readonly error: unknown }[] = [];

  get count(): number {
    return this.#all.length;
  }

  get first(): unknown {
    return this.#all[0]?.error;
  }

  /** Undefined where it fails, as long as few do. */
  async unlessFails<T>(row: Row, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#all.push({ row, error });
      if (this.#all.length >= mostUnread) throw error;
      return undefined;
    }
  }

  /** The store can be read: these alone cannot. Answers why. */
  passed(log: Log): readonly unknown[] {
    const all = this.#all;
    this.#all = [];
    for (const { row, error } of all)
      log.error('stored blob cannot be read', { digest: row.digest, registryUid: row.registryUid, error });
    return all.map(({ error }) => error);
  }
}

/** Undefined before the first walk. */
export async function scrubProgress(queries: Queries): Promise<ScrubProgress | undefined> {
  return positionSchema.safeParse(await walkPosition(queries, walkName)).data;
}

/** Makes the next run, and one that is under way, begin at the first blob. */
export async function restartScrub(parts: Pick<ScrubParts, 'database' | 'clock'>): Promise<ScrubProgress> {
  return await beginWalk(parts);
}

async function startOf(parts: ScrubParts): Promise<ScrubProgress> {
  const known = await scrubProgress(parts.database.read);
  if (known === undefined) return await beginWalk(parts);
  const isDue =
    known.endedAtMicros !== undefined && known.beganAtMicros + parts.everyMs * 1000 <= parts.clock.nowMicros();
  return isDue ? await beginWalk(parts) : known;
}

async function beginWalk({ database, clock }: Pick<ScrubParts, 'database' | 'clock'>): Promise<ScrubProgress> {
  const nowMicros = clock.nowMicros();
  const position = { registryUid: '', digest: '', beganAtMicros: nowMicros, blobs: 0, bytes: 0, damaged: 0 };
  await database.transaction(async (tx) => await saveWalk(tx, { name: walkName, position, nowMicros }));
  return position;
}

/** False, and nothing is saved, when another walk has begun. */
async function saveStep({ database, clock }: ScrubParts, position: ScrubProgress): Promise<boolean> {
  const nowMicros = clock.nowMicros();
  return await database.transaction(async (tx) => {
    const known = positionSchema.safeParse(await lockedWalkPosition(tx, database.kind, walkName)).data;
    if (known?.beganAtMicros !== position.beganAtMicros) return false;
    await saveWalk(tx, { name: walkName, position, nowMicros });
    return true;
  });
}

async function nextBlobs(queries: Queries, after: ScrubProgress): Promise<Row[]> {
  return await queries
    .selectFrom('blobs')
    .where(sql<boolean>`(registry_uid, digest) > (${after.registryUid}, ${after.digest})`)
    .orderBy('registry_uid')
    .orderBy('digest')
    .select(['registry_uid as registryUid', 'digest', 'storage_key as storageKey', 'size', 'state'])
    .limit(slice)
    .execute();
}

/** `found` is the digest of its bytes, where it has any. False for one that was served until now and is set aside. */
async function settle(
  parts: ScrubParts,
  row: Row,
  found: Digest | undefined,
  job: Pick<JobRun, 'signal'>,
): Promise<boolean> {
  const digest = parseDigest(row.digest);
  if (found === digest) {
    if (row.state === 'damaged') await takeBack(parts, row, digest);
    return true;
  }
  if (row.state === 'damaged' || job.signal.aborted) return true;
  return !(await setAside(
    parts,
    row,
    digest,
    found === undefined ? 'its bytes are missing' : `its bytes are ${found}`,
  ));
}

/** Undefined for bytes that are not there. */
async function digestOfBytes(
  parts: ScrubParts,
  row: Row,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<Digest | undefined> {
  const { store, clock, bytesPerSecond } = parts;
  const algorithm = algorithmOf(parseDigest(row.digest));
  const hash = createHash(algorithm);
  const beganMs = clock.monotonicMs();
  let bytes = 0;
  let renewedAt = beganMs;
  try {
    for await (const chunk of store.read(row.storageKey, undefined, { mayReuse: true })) {
      hash.update(chunk);
      bytes += chunk.length;
      const aheadMs = (bytes / bytesPerSecond) * 1000 - (clock.monotonicMs() - beganMs);
      if (aheadMs > 10) await clock.sleep(aheadMs, job.signal);
      if (clock.monotonicMs() - renewedAt < renewEveryMs) continue;
      await job.renew();
      renewedAt = clock.monotonicMs();
    }
  } catch (error) {
    if (error instanceof BlobMissing) return undefined;
    throw error;
  }
  return digestOf(algorithm, hash.digest('hex'));
}

const renewEveryMs = 10_000;

async function takeBack(parts: ScrubParts, row: Row, digest: Digest): Promise<void> {
  const { registryUid, storageKey, size: sizeBytes } = row;
  if (await serveAgain(parts, { registryUid, digest, storageKey, sizeBytes }, actor))
    parts.log.info('stored blob is whole again', { digest, registryUid });
}

/** False when another copy has taken its place meanwhile, or it is gone. */
async function setAside(parts: ScrubParts, row: Row, digest: Digest, reason: string): Promise<boolean> {
  const { registryUid, storageKey, size } = row;
  const isDamaged = await parts.journal.transaction(async (tx, append) => {
    if (!(await markDamaged(tx, { registryUid, digest, storageKey }))) return false;
    const data = { digest, sizeBytes: size, reason };
    append({ stream: streamOf(registryUid, parts.region), type: 'blob.damaged', version: 1, actor, data });
    return true;
  });
  if (isDamaged) parts.log.error('stored blob is damaged', { digest, registryUid, reason });
  return isDamaged;
}
