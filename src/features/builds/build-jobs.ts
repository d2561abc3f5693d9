import { z } from 'zod';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Contexts } from './contexts.ts';
import { dropBytes } from './kept-bytes.ts';
import { attemptLostJob, type OverdueParts, runWatchJob, watchRuns } from './overdue-runs.ts';
import { runEndedJob } from './run-ending.ts';
import type { RunLogs } from './run-logs.ts';
import { tokensOf } from './run-store.ts';

export type BuildJobParts = OverdueParts & {
  readonly database: Database;
  readonly store: BlobStore;
  readonly contexts: Pick<Contexts, 'removeUnneeded'>;
  readonly logs: Pick<RunLogs, 'seal'>;
  /** Runs that nobody asked to keep leave so long after their end, with their logs. */
  readonly retentionMs: number;
};

/** Whatever became of the looks that runs at work have planned. */
const overdueEveryMs = 60_000;
const contextsEveryMs = 60_000;
const expiryEveryMs = 600_000;
/** An upload that no run took. */
const unusedContextMicros = 86_400_000_000;
const slice = 100;

/** The background work of builds. */
export function buildJobs(parts: BuildJobParts): JobKind[] {
  const common = { leaseMs: 60_000, maxAttempts: 10 };
  return [
    { ...common, kind: 'builds.runs.overdue', everyMs: overdueEveryMs, run: (job) => watchRuns(parts, job) },
    { ...common, kind: runWatchJob, run: (job) => watchRuns(parts, job) },
    {
      ...common,
      kind: 'builds.contexts.remove',
      everyMs: contextsEveryMs,
      run: () => parts.contexts.removeUnneeded(unusedContextMicros),
    },
    { ...common, kind: 'builds.runs.expire', everyMs: expiryEveryMs, run: (job) => expireRuns(parts, job) },
    { ...common, kind: attemptLostJob, run: ({ payload }) => endTokens(parts, payload) },
    { ...common, kind: runEndedJob, run: ({ payload }) => settle(parts, payload) },
  ];
}

const lostSchema = z.object({ tokenUids: z.array(z.string()) });

async function endTokens({ runTokens }: BuildJobParts, payload: Readonly<Record<string, unknown>>): Promise<void> {
  for (const token of lostSchema.parse(payload).tokenUids) await runTokens.end(token);
}

const endedSchema = z.object({ runUid: z.string() });

/** After the end of a run: what it signed in with is good no more, and its log is put in one piece. */
async function settle(
  { database, runTokens, logs }: BuildJobParts,
  payload: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { runUid } = endedSchema.parse(payload);
  const row = await database.read.selectFrom('runs').select('tokens').where('uid', '=', runUid).executeTakeFirst();
  for (const token of row === undefined ? [] : tokensOf(row)) await runTokens.end(token);
  await logs.seal(runUid);
}

/** Removes runs that are old enough, and all of registries that are gone; bytes go after the rows that name them. */
export async function expireRuns(
  { database, store, clock, retentionMs, log }: BuildJobParts,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  const before = clock.nowMicros() - retentionMs * 1000;
  while (!job.signal.aborted) {
    const { runs, keys } = await database.transaction(async (tx) => await removeRuns(tx, before));
    await store.removeMany(keys);
    if (runs > 0) log.info('old runs removed', { count: runs });
    if (runs < slice) return;
    await job.renew();
  }
}

async function removeRuns(tx: Transaction, before: number): Promise<{ runs: number; keys: string[] }> {
  const rows = await tx
    .selectFrom('runs')
    .select(['uid', 'log_key'])
    .where((at) =>
      at.or([
        at.and([at('finished_at', '<', before), at('is_archived', '=', 0)]),
        at('registry_uid', 'not in', at.selectFrom('registries').select('uid')),
      ]),
    )
    .limit(slice)
    .execute();
  const uids = rows.map(({ uid }) => uid);
  const keys = rows.flatMap((row) => row.log_key ?? []);
  if (uids.length === 0) return { runs: 0, keys };
  await tx.deleteFrom('run_log_chunks').where('run_uid', 'in', uids).execute();
  await tx.deleteFrom('runs').where('uid', 'in', uids).execute();
  await dropBytes(tx, keys);
  return { runs: uids.length, keys };
}
