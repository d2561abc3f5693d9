import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { ClockJumps } from '../clock-jumps.ts';
import type { Database } from '../database/database.ts';
import type { Ids } from '../ids.ts';
import type { Log } from '../log.ts';
import { Bell } from './bell.ts';
import { type Ending, JobStore, longestRetryMs, type TakenJob } from './job-store.ts';
import type { JobKind, Jobs } from './jobs.ts';
import { grantMs, LeaseKeeper } from './lease-keeper.ts';

export type JobsOptions = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  /** How often to look for jobs that are due. */
  readonly pollMs?: number;
  /** Jobs that run at the same time in this process. */
  readonly concurrency?: number;
};

const defaultPollMs = 500;
const defaultConcurrency = 4;
const firstRetryMs = 1_000;
/** A run's end is written again this often when the database cannot be had; after that its lease runs out. */
const endingTries = 5;
const maxErrorLength = 2_000;

/** Jobs in the metadata database. */
export function createJobs(options: JobsOptions): Jobs {
  const store = new JobStore(options.database, options.ids);
  const runners: JobRunner[] = [];
  return {
    add: (tx, job) => store.add(tx, job, options.clock.nowMicros()),
    start: (kinds) => {
      runners.push(new JobRunner(options, store, kinds));
    },
    stop: async () => {
      await Promise.all(runners.map((runner) => runner.stop()));
    },
  };
}

class JobRunner {
  readonly #options: JobsOptions;
  readonly #store: JobStore;
  readonly #kinds: ReadonlyMap<string, JobKind>;
  readonly #stop = new AbortController();
  readonly #bell: Bell;
  readonly #running = new Set<Promise<void>>();
  readonly #taking: Promise<void>;

  constructor(options: JobsOptions, store: JobStore, kinds: readonly JobKind[]) {
    this.#options = options;
    this.#store = store;
    this.#kinds = new Map(kinds.map((kind) => [kind.kind, kind]));
    this.#bell = new Bell(options.clock, this.#stop.signal);
    this.#taking = this.#takeUntilStopped();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server is stopping'));
    await this.#taking;
    await Promise.all(this.#running);
  }

  async #takeUntilStopped(): Promise<void> {
    const { log, pollMs = defaultPollMs, concurrency = defaultConcurrency } = this.#options;
    const repeating = [...this.#kinds.values()].filter((kind) => kind.everyMs !== undefined);
    const unplanned = new Set(repeating);
    const jumps = new ClockJumps(this.#options.clock);
    while (!this.#stop.signal.aborted) {
      if (jumps.look()) for (const kind of repeating) unplanned.add(kind);
      const sinceMs = this.#options.clock.monotonicMs();
      let job: TakenJob | undefined;
      try {
        for (const kind of unplanned) await this.#store.ensure(kind);
        unplanned.clear();
        if (this.#running.size < concurrency) job = await this.#store.take(this.#kinds);
      } catch (error) {
        log.warn('jobs cannot be taken', { error });
      }
      if (job === undefined) await this.#bell.wait(pollMs);
      else this.#begin(job, sinceMs);
    }
  }

  #begin(job: TakenJob, sinceMs: number): void {
    const kind = this.#kinds.get(job.kind);
    if (kind === undefined) throw new Error(`took a job of kind ${job.kind}, which this process does not run`);
    const run = this.#run(job, kind, sinceMs).finally(() => {
      this.#running.delete(run);
      this.#bell.ring();
    });
    this.#running.add(run);
  }

  async #run(job: TakenJob, kind: JobKind, sinceMs: number): Promise<void> {
    const ending = await this.#endingOf(job, kind, sinceMs);
    if (ending.kind !== 'done' && ending.lastError !== null)
      this.#options.log.warn('job failed', {
        kind: job.kind,
        key: job.key,
        attempt: job.attempts,
        error: ending.lastError,
      });
    for (let tries = 1; tries <= endingTries; tries++) {
      try {
        await this.#store.end(job, ending);
        return;
      } catch (error) {
        this.#options.log.warn('end of a job cannot be written', { kind: job.kind, key: job.key, error });
        await this.#options.clock.sleep(defaultPollMs);
      }
    }
  }

  async #endingOf(job: TakenJob, kind: JobKind, sinceMs: number): Promise<Ending> {
    if (job.attempts > kind.maxAttempts)
      return afterLast(kind, 'its process ended, or its lease ran out, in every run');
    const { clock } = this.#options;
    const lease = new LeaseKeeper({ clock, kind, sinceMs, renew: () => this.#store.renew(job, grantMs(kind)) });
    try {
      await kind.run({
        payload: payloadSchema.parse(JSON.parse(job.payload)),
        attempt: job.attempts,
        signal: AbortSignal.any([this.#stop.signal, lease.lost]),
        renew: () => lease.extend(),
      });
      return kind.everyMs === undefined ? { kind: 'done' } : { ...anew, inMs: kind.everyMs };
    } catch (error) {
      if (this.#stop.signal.aborted) return { ...anew, attempts: job.attempts - 1 };
      return afterFailure(job, kind, messageOf(error));
    } finally {
      lease.end();
    }
  }
}

const payloadSchema = z.record(z.string(), z.unknown());

const anew = { kind: 'waits', inMs: 0, attempts: 0, lastError: null } as const;

function afterFailure({ attempts }: TakenJob, kind: JobKind, lastError: string): Ending {
  if (attempts >= kind.maxAttempts) return afterLast(kind, lastError);
  const inMs = Math.min(firstRetryMs * 2 ** (attempts - 1), longestRetryMs);
  return { kind: 'waits', inMs, attempts, lastError };
}

function afterLast(kind: JobKind, lastError: string): Ending {
  return kind.everyMs === undefined ? { kind: 'failed', lastError } : { ...anew, inMs: kind.everyMs, lastError };
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, maxErrorLength);
}
