import type { Clock } from '../clock.ts';

/** The holder uses this part of its lease alone, so that it has stopped when another may begin. */
const heldPart = 0.9;

/** Tells the holder of a job, by the monotonic clock, that its time is over unless it was extended. */
export class Lease {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  #timer = new AbortController();

  /** `sinceMs`: monotonic time just before the database granted the lease. */
  constructor(clock: Clock, leaseMs: number, sinceMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#start(sinceMs);
  }

  /** Aborted when the lease ran out or another process has the job. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** `sinceMs` as for the constructor. */
  extend(sinceMs: number): void {
    this.end();
    this.#timer = new AbortController();
    this.#start(sinceMs);
  }

  lose(): void {
    this.#lost.abort(new Error('the lease of the job is lost'));
  }

  end(): void {
    this.#timer.abort();
  }

  #start(sinceMs: number): void {
    const leftMs = sinceMs + this.#leaseMs * heldPart - this.#clock.monotonicMs();
    this.#clock.sleep(Math.max(0, leftMs), this.#timer.signal).then(
      () => this.lose(),
      () => {
        // Extended or ended in time.
      },
    );
  }
}
