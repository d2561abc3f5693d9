import type { Clock } from '../../../platform/clock.ts';
import type { Database } from '../../../platform/database/database.ts';
import type { JobKind } from '../../../platform/jobs/jobs.ts';
import type { Journal } from '../../../platform/journal/journal.ts';
import type { Log } from '../../../platform/log.ts';
import type { Runs } from '../runs.ts';
import { prepareTaskRun } from '../tasks/prepare-task-run.ts';
import { isFaultOfAll } from '../tasks/task-fault.ts';
import type { TaskSecretParts } from '../tasks/task-secrets.ts';
import { type DueTimer, listDue, moveOn } from '../tasks/task-timers.ts';
import { nextOccurrence, parseTimerSchedule } from '../tasks/timer-schedule.ts';
import { type DueWork, maxAttempts } from './due-work.ts';

export type TimersParts = TaskSecretParts & {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  readonly runs: Pick<Runs, 'scheduleWithRoom'>;
};

const page = 100;
const kind = 'builds.timers';

/** Starts tasks by the clock. */
export function timersJob(parts: TimersParts): JobKind {
  return {
    kind,
    run: async ({ signal, renew }) => await startDueTasks(parts, signal, renew),
    leaseMs: 60_000,
    maxAttempts,
  };
}

/** Whether a timer is due. */
export const timersWork: DueWork = {
  kind,
  isDue: async (queries, nowMicros) => {
    const query = queries.selectFrom('task_timers').select('task_uid').where('next_at', '<=', nowMicros);
    return (await query.limit(1).executeTakeFirst()) !== undefined;
  },
};

/**
 * Queues a run for each timer that is due, in the transaction that moves the timer on: once for each occurrence, whoever is
 * killed. Occurrences that nobody was there for are made up for by one run, which names the last of them.
 */
export async function startDueTasks(
  parts: TimersParts,
  signal: AbortSignal,
  renew: () => Promise<void> = async () => {},
): Promise<void> {
  const nowMicros = parts.clock.nowMicros();
  while (true) {
    const due = await listDue(parts.database, nowMicros, page);
    for (const timer of due) {
      signal.throwIfAborted();
      await startOrPassOver(parts, timer, nowMicros);
    }
    if (due.length < page) return;
    await renew();
  }
}

/**
 * A task that cannot be run, or for which there is no room, keeps no other waiting: its occurrence is passed over. Throws what is not of the
 * task: the timer is still due.
 */
async function startOrPassOver(parts: TimersParts, due: DueTimer, nowMicros: number): Promise<void> {
  try {
    await startTask(parts, due, nowMicros);
  } catch (error) {
    if (isFaultOfAll(error)) throw error;
    parts.log.warn('task could not be started by its timer', { taskUid: due.taskUid, timer: due.name, error });
    const next = nextOccurrence(parseTimerSchedule(due.schedule), nowMicros);
    await parts.database.transaction(async (tx) => await moveOn(tx, due, next));
  }
}

async function startTask(parts: TimersParts, due: DueTimer, nowMicros: number): Promise<void> {
  const { journal, runs, log } = parts;
  const schedule = parseTimerSchedule(due.schedule);
  const next = nextOccurrence(schedule, nowMicros);
  const occurrence = new Date(lastOccurrence(due, nowMicros) / 1_000).toISOString();
  await journal.transaction(async (tx, append) => {
    if (!(await moveOn(tx, due, next))) return;
    const run = await prepareTaskRun(parts, tx, {
      ...due,
      trigger: { kind: 'timer', timerTriggerName: due.name, scheduleOccurrence: occurrence },
      key: `timer/${due.taskUid}/${due.name}/${occurrence}`,
    });
    if (run === undefined) return;
    const { run_id: runId } = await runs.scheduleWithRoom(tx, append, run);
    log.info('task started by its timer', { task: run.task?.name, timer: due.name, occurrence, runId });
  });
}

/** The last one until now; found from the first on, as a schedule is not read backwards. */
function lastOccurrence({ schedule, nextAtMicros }: DueTimer, nowMicros: number): number {
  const parsed = parseTimerSchedule(schedule);
  // A day is far enough back for what comes every minute; what comes more rarely is not missed often.
  const dayMicros = 24 * 3_600 * 1_000_000;
  let last = nextAtMicros;
  let at = nextOccurrence(parsed, Math.max(nextAtMicros, nowMicros - dayMicros));
  while (at !== undefined && at <= nowMicros) {
    last = at;
    at = nextOccurrence(parsed, at);
  }
  return last;
}
