import type { Clock } from './clock.ts';

/** What wall and monotonic time may drift apart between two looks. */
const toleranceMs = 60_000;

/**
 * Notices, when it is asked, that the wall clock was moved, by comparing it with the monotonic one. For work that goes by
 * stored times: what became old by a jump is not old, and what is far ahead after one may be due.
 */
export class ClockJumps {
  readonly #clock: Clock;
  #wallMs: number;
  #monotonicMs: number;
  #jumpMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wallMs = clock.nowMicros() / 1000;
    this.#monotonicMs = clock.monotonicMs();
  }

  /** Whether the clock was moved since the last look. */
  look(): boolean {
    const wallMs = this.#clock.nowMicros() / 1000;
    const monotonicMs = this.#clock.monotonicMs();
    const movedMs = wallMs - this.#wallMs - (monotonicMs - this.#monotonicMs);
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
    if (Math.abs(movedMs) <= toleranceMs) return false;
    this.#jumpMs = monotonicMs;
    return true;
  }

  /** Looks, and tells for how long the clock has run evenly; infinite while no jump was noticed. */
  evenMs(): number {
    this.look();
    return this.#monotonicMs - this.#jumpMs;
  }
}
