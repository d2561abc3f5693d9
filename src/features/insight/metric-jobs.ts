import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import { startOf } from './metric.ts';
import { addValues, expireValues, type MinuteValue } from './metric-store.ts';

export type MetricJobsParts = { readonly database: Database; readonly clock: Clock };

const storageEveryMs = 300_000;
const expiryEveryMs = 3_600_000;
const registriesAtOnce = 500;

/** Storage is looked at every five minutes; what is kept no longer leaves. */
export function metricJobs(parts: MetricJobsParts): JobKind[] {
  const common = { leaseMs: 60_000, maxAttempts: 5 } as const;
  return [
    { ...common, kind: 'metrics.storage', run: (job) => measureStorage(parts, job), everyMs: storageEveryMs },
    { ...common, kind: 'metrics.expire', run: (job) => expire(parts, job), everyMs: expiryEveryMs },
  ];
}

export async function measureStorage(
  { database, clock }: MetricJobsParts,
  { signal, renew }: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  const atMicros = startOf(60, clock.nowMicros());
  let after = '';
  while (!signal.aborted) {
    const rows = await database.read
      .selectFrom('registry_usage')
      .select(['registry_uid', 'bytes'])
      .where('registry_uid', '>', after)
      .orderBy('registry_uid')
      .limit(registriesAtOnce)
      .execute();
    const values = rows.map(
      ({ registry_uid: registryUid, bytes }): MinuteValue => ({
        ...{ registryUid, metric: 'StorageUsed', atMicros },
        ...{ total: bytes, count: 1, minimum: bytes, maximum: bytes },
      }),
    );
    await database.transaction((tx) => addValues(tx, values));
    const last = rows.at(-1);
    if (last === undefined || rows.length < registriesAtOnce) return;
    after = last.registry_uid;
    await renew();
  }
}

async function expire(
  { database, clock }: MetricJobsParts,
  { signal, renew }: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  while (!signal.aborted && (await expireValues(database, clock.nowMicros()))) await renew();
}
