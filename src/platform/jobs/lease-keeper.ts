import type { Clock } from '../clock.ts';
import type { JobKind } from './jobs.ts';
import { Lease } from './lease.ts';

/** No lease in the database is longer, so that the job of a dead process passes on within half a minute. */
const longestGrantMs = 25_000;
/** A grant is renewed so many times before it would run out. */
const renewals = 3;

/** How long the database grants a job of this kind at a time. */
export function grantMs({ leaseMs }: Pick<JobKind, 'leaseMs'>): number {
  return Math.min(leaseMs, longestGrantMs);
}

export type KeeperOptions = {
  readonly clock: Clock;
  readonly kind: Pick<JobKind, 'leaseMs'>;
  /** Monotonic time just before the database granted the lease. */
  readonly sinceMs: number;
  /** Moves the end of the grant; false when another process has taken over. */
  readonly renew: () => Promise<boolean>;
};

/**
 * Holds a job for a run: as long as the run says within `leaseMs` that it goes on, short grants of the database follow each other by
 * themselves. A run that is silent for longer, or whose grant could not be renewed, has lost the job.
 */
export class LeaseKeeper {
  readonly #options: KeeperOptions;
  /** How long the run may be silent. */
  readonly #patience: Lease;
  readonly #grant: Lease;
  readonly #ended = new AbortController();
  readonly #lost: AbortSignal;

  constructor(options: KeeperOptions) {
    const { clock, kind, sinceMs } = options;
    this.#options = options;
    this.#patience = new Lease(clock, kind.leaseMs, sinceMs);
    this.#grant = new Lease(clock, grantMs(kind), sinceMs);
    this.#lost = AbortSignal.any([this.#patience.lost, this.#grant.lost]);
    if (grantMs(kind) < kind.leaseMs) void this.#renewUntilEnded();
  }

  /** Aborted when the lease ran out or another process has the job. */
  get lost(): AbortSignal {
    return this.#lost;
  }

  /** The run goes on. Throws when the lease is lost. */
  async extend(): Promise<void> {
    const sinceMs = this.#options.clock.monotonicMs();
    this.#lost.throwIfAborted();
    if (!(await this.#options.renew())) this.#grant.lose();
    this.#lost.throwIfAborted();
    this.#grant.extend(sinceMs);
    this.#patience.extend(sinceMs);
  }

  end(): void {
    this.#ended.abort();
    this.#patience.end();
    this.#grant.end();
  }

  async #renewUntilEnded(): Promise<void> {
    const { clock, kind, renew } = this.#options;
    const over = AbortSignal.any([this.#ended.signal, this.#lost]);
    while (!over.aborted) {
      await clock.sleep(grantMs(kind) / renewals, over).catch(() => {
        // Ended or lost.
      });
      if (over.aborted) return;
      const sinceMs = clock.monotonicMs();
      const isOurs = await renew().catch(() => undefined);
      if (over.aborted) return;
      if (isOurs === true) this.#grant.extend(sinceMs);
      // Without an answer of the database the grant ends by itself.
      if (isOurs === false) this.#grant.lose();
    }
  }
}
