import type { Transaction } from '../database/database.ts';

export type JobRequest = {
  readonly kind: string;
  /** A second job of the same kind and key is not added while one waits; while one runs, the second waits for its end. */
  readonly key: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly runAtMicros?: number;
};

export type JobRun = {
  readonly payload: Readonly<Record<string, unknown>>;
  readonly attempt: number;
  /** Aborted when the lease is lost or the server stops; the job runs again later. */
  readonly signal: AbortSignal;
  /** Keeps the lease of a long job; throws when another process has taken over. */
  readonly renew: () => Promise<void>;
};

export type JobKind = {
  readonly kind: string;
  /** At least once: a killed process's job runs again after its lease. */
  readonly run: (job: JobRun) => Promise<void>;
  /**
   * A run may go on so long without `renew`. The job of a process that is gone passes on within half a minute, however long
   * this is.
   */
  readonly leaseMs: number;
  /** After so many runs that threw or were cut off the job is kept as failed; a repeating one waits for its next time instead. */
  readonly maxAttempts: number;
  /** Repeats by itself: the next run is this long after the last ended. */
  readonly everyMs?: number;
};

/** Background work with leases compared with the database's clock (house plan, idea 1). */
export type Jobs = {
  readonly add: (tx: Transaction, job: JobRequest) => Promise<void>;
  /** Takes and runs jobs of these kinds until stopped. */
  readonly start: (kinds: readonly JobKind[]) => void;
  /** Stops taking, aborts what runs, waits for it. */
  readonly stop: () => Promise<void>;
};
