import type { Clock } from '../clock.ts';

/** Tells the holder of a job, by the monotonic clock, that its time is over unless it was extended. */
export class Lease {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  #timer = new AbortController();

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#start();
  }

  /** Aborted when the lease ran out or another process has the job. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  extend(): void {
    this.end();
    this.#timer = new AbortController();
    this.#start();
  }

  lose(): void {
    this.#lost.abort(new Error('the lease of the job is lost'));
  }

  end(): void {
    this.#timer.abort();
  }

  #start(): void {
    this.#clock.sleep(this.#leaseMs, this.#timer.signal).then(
      () => this.lose(),
      () => {
        // Extended or ended in time.
      },
    );
  }
}
