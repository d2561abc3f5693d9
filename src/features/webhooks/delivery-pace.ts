import { performance } from 'node:perf_hooks';
import type { Clock } from '../../platform/clock.ts';

/** Above this share of its time the process is busy with requests: deliveries then take what follows. */
const busyShare = 0.4;
/** Deliveries a second beside busy requests; without them there is no limit. */
const busyPerSecond = 75;
const lookEveryMs = 50;
/** Events of so long are told together: a run for each of them would cost more than the telling. */
const gather = { idleMs: 50, busyMs: 1_000 } as const;

/**
 * Lets deliveries give way to requests: all deliveries of a process go through one gate, which slows down while the process
 * is busy. Pushes that thousands of deliveries follow stay as fast as without them.
 */
export class DeliveryPace {
  readonly #clock: Clock;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #used = performance.eventLoopUtilization();
  #isBusy = false;
  /** When the next delivery may begin, by the monotonic clock. */
  #freeMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the next delivery may begin. */
  async turn(signal: AbortSignal): Promise<void> {
    this.#look();
    const nowMs = this.#clock.monotonicMs();
    const beginMs = Math.max(nowMs, this.#freeMs);
    this.#freeMs = beginMs + (this.#isBusy ? 1_000 / busyPerSecond : 0);
    if (beginMs > nowMs) await this.#clock.sleep(beginMs - nowMs, signal);
  }

  /** How long to let events come together. */
  gatherMs(): number {
    this.#look();
    return this.#isBusy ? gather.busyMs : gather.idleMs;
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#lookedMs < lookEveryMs) return;
    this.#lookedMs = nowMs;
    const used = performance.eventLoopUtilization();
    this.#isBusy = performance.eventLoopUtilization(used, this.#used).utilization > busyShare;
    this.#used = used;
  }
}
