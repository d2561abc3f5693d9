import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import type { Deletions } from '../content/deletions.ts';
import { type LastPulls, pullsSince } from '../content/last-pulls.ts';
import type { LifecycleRule } from '../retention/lifecycle-rule.ts';
import { selectLifecycle } from '../retention/lifecycle-selection.ts';
import { ownAuthority } from '../retention/own-authority.ts';
import type { RepositoryFacts } from '../retention/purge-selection.ts';
import { freshMicros, sweepRepositories } from '../retention/purges.ts';

export type CacheExpiryParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly deletions: Deletions;
  readonly lastPulls: Pick<LastPulls, 'flush'>;
  /** Layers that no build asked for so long leave. */
  readonly cacheRetentionMs: number;
};

/** Where builds keep their layers: below the repository of the first image that they make. */
const cacheSuffix = '/berth-cache';
/** As buildah names layers, by the key of a step; and BuildKit what it keeps of a target. */
const builderTag = /^(?:[0-9a-f]{64}|buildkit(?:-.*)?)$/;
const everyMs = 6 * 3_600_000;
const renewMs = 5_000;

/** Caches of layers do not grow for ever: what no build has written or used for long leaves. What is locked stays. */
export function cacheExpiryJob(parts: CacheExpiryParts): JobKind {
  return {
    kind: 'builds.cache.expire',
    everyMs,
    leaseMs: 60_000,
    maxAttempts: 10,
    run: (job) => expireCaches(parts, job),
  };
}

export async function expireCaches(parts: CacheExpiryParts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
  const { database, log } = parts;
  const rows = await database.read.selectFrom('registries').select('uid').where('is_deleting', '=', 0).execute();
  for (const { uid: registryUid } of rows) {
    if (job.signal.aborted) return;
    await job.renew();
    try {
      const removed = await expireOf(parts, registryUid, job);
      if (removed > 0) log.info('layers that no build used left their caches', { registryUid, count: removed });
    } catch (error) {
      if (!(error instanceof BerthError && error.error === 'registryUnknown')) throw error;
    }
  }
}

/** Resolves to how many left. */
async function expireOf(
  { database, clock, log, deletions, lastPulls, cacheRetentionMs }: CacheExpiryParts,
  registryUid: string,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<number> {
  await lastPulls.flush();
  const nowMicros = clock.nowMicros();
  const rules = rulesOf(cacheRetentionMs * 1000);
  const pullsSinceMicros = await pullsSince(database.read);
  const moment = { nowMicros, freshSinceMicros: nowMicros - freshMicros, pullsSinceMicros };
  let renewedMs = clock.monotonicMs();
  const sweep = sweepRepositories({ database, clock, deletions }, ownAuthority('build cache'), {
    registryUid,
    takesRepository: (name) => name.endsWith(cacheSuffix),
    select: (facts, name) => selectLifecycle(facts, name, isCache(facts) ? rules : [], moment),
    includesLocked: false,
    isDryRun: false,
    signal: job.signal,
    pause: async () => {
      if (clock.monotonicMs() < renewedMs + renewMs) return;
      await job.renew();
      renewedMs = clock.monotonicMs();
    },
    failed: (repository, error) => log.error('a cache of layers cannot be cleaned', { registryUid, repository, error }),
  });
  let removed = 0;
  for await (const { outcome } of sweep) if (outcome === 'deleted') removed += 1;
  return removed;
}

/** A tag of another form is somebody's own: then the repository is theirs, whatever its name, and all of it stays. */
function isCache({ tags }: RepositoryFacts): boolean {
  return tags.every(({ name }) => builderTag.test(name));
}

/** Written long ago, and not asked for since. */
function rulesOf(retentionMicros: number): readonly LifecycleRule[] {
  const age = `${Math.round(retentionMicros / 1_000_000)}s`;
  const everywhere = { name: 'build cache', matchesRepository: () => true, matchesTag: () => true };
  const isOld = { kind: 'deleteOlder', olderThan: age, olderThanMicros: retentionMicros } as const;
  return [
    { ...everywhere, action: { ...isOld, takesTags: true, takesUntagged: true } },
    { ...everywhere, action: { kind: 'keepPulled', within: age, withinMicros: retentionMicros } },
  ];
}
