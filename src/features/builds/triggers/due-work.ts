import type { Clock } from '../../../platform/clock.ts';
import type { Database, Queries } from '../../../platform/database/database.ts';
import type { Jobs } from '../../../platform/jobs/jobs.ts';
import type { Log } from '../../../platform/log.ts';

/** Work that is done when rows of its own say so. */
export type DueWork = {
  /** Of its job, which takes what is due and is asked for again while something is. */
  readonly kind: string;
  readonly isDue: (queries: Queries, nowMicros: number) => Promise<boolean>;
};

export type DueWorkParts = {
  readonly database: Database;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly clock: Clock;
  readonly log: Log;
};

/** How late a timer may be at most, while the server runs. */
const lookEveryMs = 2_000;
/** Of the jobs, with growing pauses: what stops one is of this installation, and goes away. */
export const maxAttempts = 100_000;

/**
 * Asks for the jobs of works that are due, until the signal is aborted. Looks read and write nothing: an installation without
 * tasks, or with tasks that nothing starts now, pays no writes for them.
 */
export async function watchDueWork(parts: DueWorkParts, works: readonly DueWork[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const work of works) await askFor(parts, work);
    await parts.clock.sleep(lookEveryMs, signal).catch(() => {
      // Aborted: the loop sees it.
    });
  }
}

/** Does nothing while the job waits already. */
export async function askFor({ database, jobs, clock, log }: DueWorkParts, { kind, isDue }: DueWork): Promise<void> {
  try {
    if (!(await isDue(database.read, clock.nowMicros()))) return;
    // Due whatever happens to the clock meanwhile.
    await database.transaction((tx) => jobs.add(tx, { kind, key: '', payload: {}, runAtMicros: 0 }));
  } catch (error) {
    log.warn('what starts tasks cannot be looked at', { kind, error });
  }
}
