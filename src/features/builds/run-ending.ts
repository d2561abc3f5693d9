import type { Transaction } from '../../platform/database/database.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import type { Append } from '../../platform/journal/journal.ts';
import type { RunStatus } from './run.ts';
import { appendRunEvent } from './run-events.ts';
import { appendOwnLines } from './run-log-store.ts';
import type { RunOutcome, RunRow } from './run-store.ts';

/** The job that does what is left after the end of a run: its log in one piece, its tokens ended. Its key is the run's uid. */
export const runEndedJob = 'builds.runs.ended';

export type EndingParts = {
  readonly tx: Transaction;
  readonly append: Append;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly region: string;
};

export type Ending = {
  readonly status: Extract<RunStatus, 'Succeeded' | 'Failed' | 'Error' | 'Timeout' | 'Canceled'>;
  readonly outcome: RunOutcome;
  readonly nowMicros: number;
  readonly actor: string;
  /** Whether the agent wrote the end of the log; else the server does. */
  readonly isLogWhole?: boolean;
};

/** The last change of a locked run: nobody has a hold on it afterwards, and its secrets are gone. */
export async function finishRun(parts: EndingParts, row: RunRow, ending: Ending): Promise<RunRow> {
  const { tx, append, jobs, region } = parts;
  const { status, outcome, nowMicros, actor } = ending;
  const log = ending.isLogWhole === true ? {} : await appendOwnLines(tx, row, [lastLine(row, ending)]);
  const change = {
    ...log,
    status,
    result: JSON.stringify(outcome),
    finished_at: nowMicros,
    changed_at: nowMicros,
    lease_verifier: null,
    lease_until: 0,
    sealed_order: null,
    sealed_masks: null,
  };
  await tx.updateTable('runs').set(change).where('uid', '=', row.uid).execute();
  await jobs.add(tx, { kind: runEndedJob, key: row.uid, payload: { runUid: row.uid } });
  const finished = { ...row, ...change };
  appendRunEvent(append, 'run.finished', finished, { region, actor });
  return finished;
}

/** As agents end a log. Source: ACR tasks, 1.7. */
function lastLine({ run_id: runId, started_at: startedAt }: RunRow, { status, outcome, nowMicros }: Ending): string {
  const seconds = Math.max(0, Math.round((nowMicros - (startedAt ?? nowMicros)) / 1_000_000));
  if (status === 'Canceled') return `Run ID: ${runId} was canceled after ${seconds}s`;
  const why = outcome.errorMessage ?? (status === 'Timeout' ? 'the time limit of the run was reached' : 'unknown');
  return `Run ID: ${runId} failed after ${seconds}s. Error: ${why}`;
}
