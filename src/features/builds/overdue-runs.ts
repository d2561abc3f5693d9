import { sql } from 'kysely';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { JobRun, Jobs } from '../../platform/jobs/jobs.ts';
import type { Append, Journal } from '../../platform/journal/journal.ts';
import type { Log } from '../../platform/log.ts';
import type { RunTokens } from '../access/run-tokens.ts';
import { type Ending, finishRun } from './run-ending.ts';
import { appendRunEvent } from './run-events.ts';
import { appendOwnLines } from './run-log-store.ts';
import { type MeasureRun, measureRun } from './run-measures.ts';
import { isFinal, lockedRun, nothingYet, type RunRow, tokensOf } from './run-store.ts';

export type OverdueParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly log: Log;
  readonly runTokens: Pick<RunTokens, 'end'>;
  readonly region: string;
  readonly measure: MeasureRun;
};

/** Agents end their runs by themselves when time is up or somebody cancels; the server does it so much later. */
const graceMicros = 60_000_000;
/** Agents that are lost while they have a run are followed by another so often. */
const maxAttempts = 2;
const slice = 100;

/** A look at runs at work, while there are any. */
export const runWatchJob = 'builds.runs.watch';
const watchEveryMicros = 5_000_000;
/** The job that ends what a lost attempt signs in with, should the process that took the run back not come to it. */
export const attemptLostJob = 'builds.runs.attempt-lost';

/** Plans the next look, with the transaction that puts a run to work. */
export async function planWatch(tx: Transaction, jobs: Pick<Jobs, 'add'>, nowMicros: number): Promise<void> {
  await jobs.add(tx, { kind: runWatchJob, key: '', payload: {}, runAtMicros: nowMicros + watchEveryMicros });
}

/** Looks, and plans the next look unless no run is at work: then nothing is written until one is. */
export async function watchRuns(parts: OverdueParts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
  const { database, jobs, clock } = parts;
  await endOverdue(parts, job);
  await database.transaction(async (tx) => {
    const atWork = await tx
      .selectFrom('runs')
      .select('uid')
      .where('finished_at', 'is', null)
      .where('status', '<>', 'Queued')
      .limit(1)
      .executeTakeFirst();
    if (atWork !== undefined) await planWatch(tx, jobs, clock.nowMicros());
  });
}

/**
 * Ends runs whose time is up, or whose end nobody heard of, and takes back those whose agents say nothing any more: such a run
 * begins again once, and is an error when its second agent is lost too. What its log holds stays.
 */
export async function endOverdue(parts: OverdueParts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
  const times = { nowMicros: parts.clock.nowMicros(), databaseMicros: await parts.database.nowMicros() };
  for (const uid of await overdueRuns(parts.database, times)) {
    if (job.signal.aborted) return;
    await endOrTakeBack(parts, uid, times);
    await job.renew();
  }
}

type Times = {
  readonly nowMicros: number;
  /** Leases are compared with the clock of the database. */
  readonly databaseMicros: number;
};

async function overdueRuns({ read }: Database, { nowMicros, databaseMicros }: Times): Promise<string[]> {
  const rows = await read
    .selectFrom('runs')
    .select('uid')
    .where('finished_at', 'is', null)
    .where((at) =>
      at.or([
        at.and([at('lease_verifier', 'is not', null), at('lease_until', '<', databaseMicros)]),
        at('canceled_at', '<', nowMicros - graceMicros),
        sql<boolean>`started_at + timeout_seconds * 1000000 < ${nowMicros - graceMicros}`,
      ]),
    )
    .limit(slice)
    .execute();
  return rows.map(({ uid }) => uid);
}

/** What became of a run that was looked at: it ended, or it was taken back from an attempt with these tokens. */
type Looked = { readonly finished?: RunRow; readonly lostTokens?: readonly string[] };

async function endOrTakeBack(parts: OverdueParts, uid: string, times: Times): Promise<void> {
  const { database, journal, log } = parts;
  const { finished, lostTokens = [] } = await journal.transaction(async (tx, append): Promise<Looked> => {
    const row = await lockedRun(tx, database.kind, uid);
    if (row === undefined || isFinal(row.status)) return {};
    const isLost = row.lease_verifier !== null && row.lease_until < times.databaseMicros;
    const ending = endingOf(row, isLost, times.nowMicros);
    if (ending === undefined && !isLost) return {};
    log.warn('run is overdue', {
      runId: row.run_id,
      registryUid: row.registry_uid,
      status: ending?.status ?? 'Queued',
    });
    if (ending !== undefined) return { finished: await finishRun({ ...parts, tx, append }, row, ending) };
    return { lostTokens: await takeBack(parts, { tx, append }, row, times.nowMicros) };
  });
  if (finished !== undefined) measureRun(parts.measure, finished);
  // At once: the job may have to wait for others.
  for (const token of lostTokens) await parts.runTokens.end(token);
}

/** Undefined for a run that goes on, or begins again. */
function endingOf(row: RunRow, isLost: boolean, nowMicros: number): Ending | undefined {
  const common = { nowMicros, actor: 'builds' };
  const canceledAt = row.canceled_at;
  if (canceledAt !== null && (isLost || canceledAt < nowMicros - graceMicros))
    return { ...common, status: 'Canceled', outcome: nothingYet };
  const endsAt = row.started_at === null ? undefined : row.started_at + row.timeout_seconds * 1_000_000;
  if (endsAt !== undefined && endsAt < nowMicros - graceMicros)
    return { ...common, status: 'Timeout', outcome: nothingYet };
  if (!isLost || isUnheard(row) || row.attempt < maxAttempts) return undefined;
  const errorMessage = `the agent ${row.agent ?? ''} that had the run was lost, as the one before it was`;
  return { ...common, status: 'Error', outcome: { ...nothingYet, errorMessage } };
}

/** Its agent never called: it may not even have heard of the run. */
function isUnheard({ status }: RunRow): boolean {
  return status === 'Started';
}

/** Resolves to the tokens that the lost attempt had. */
async function takeBack(
  { region, jobs }: OverdueParts,
  { tx, append }: { readonly tx: Transaction; readonly append: Append },
  row: RunRow,
  nowMicros: number,
): Promise<readonly string[]> {
  const line = `The agent ${row.agent ?? ''} that had the run was lost: the run begins again`;
  const change = {
    ...(isUnheard(row) ? { attempt: row.attempt - 1 } : await appendOwnLines(tx, row, [line])),
    status: 'Queued',
    changed_at: nowMicros,
    lease_verifier: null,
    lease_until: 0,
    sealed_masks: null,
  };
  await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
  // What is left of that attempt may still be at work with them. Those of a run that has ended end with what is left to do then.
  const tokenUids = tokensOf(row);
  const key = `${row.uid}/${tokenUids.length}`;
  if (tokenUids.length > 0) await jobs.add(tx, { kind: attemptLostJob, key, payload: { tokenUids } });
  appendRunEvent(append, 'run.changed', { ...row, ...change }, { region, actor: 'builds' });
  return tokenUids;
}
