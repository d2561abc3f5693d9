import type { Clock } from '../clock.ts';

/** Ends a wait early; a ring while nobody waits ends the next wait at once. */
export class Bell {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #hasRung = false;
  #waiting: AbortController | undefined;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  ring(): void {
    this.#hasRung = true;
    this.#waiting?.abort();
  }

  /** Resolves after `ms`, at a ring, or when the signal is aborted. */
  async wait(ms: number): Promise<void> {
    if (!this.#hasRung) {
      this.#waiting = new AbortController();
      await this.#clock.sleep(ms, AbortSignal.any([this.#signal, this.#waiting.signal])).catch(() => {
        // Rung, or stopping: both end the wait.
      });
      this.#waiting = undefined;
    }
    this.#hasRung = false;
  }
}
