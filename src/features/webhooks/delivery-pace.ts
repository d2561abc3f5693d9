import { performance } from 'node:perf_hooks';
import type { Clock } from '../../platform/clock.ts';

/** Above this share of its time a process that also answers requests is busy with them: deliveries then take what follows. */
const busyShare = 0.25;
/** Fewer requests a second than these, such as probes and agents that ask for work, keep no process busy. */
const leastRequestsPerSecond = 20;
/** Deliveries a second beside busy requests; without them there is no limit. */
const busyPerSecond = 25;
const lookEveryMs = 100;
/** A pause between requests is no end of them: a disk that syncs makes such. */
const staysBusyMs = 500;
/** Events of so long are told together: a run for each of them would cost more than the telling. */
const gather = { idleMs: 50, busyMs: 1_000 } as const;

export type DeliveryPaceParts = {
  readonly clock: Clock;
  /** Requests that this process has answered so far: what deliveries give way to. */
  readonly answered: () => number;
  /** The share of its time that the event loop was at work since it was last asked, from 0 to 1. */
  readonly usedShare?: () => number;
};

/**
 * Lets deliveries give way to requests: all deliveries of a process go through one gate, which slows down while the process
 * is busy with requests, and not because it is busy with deliveries. Pushes that thousands of deliveries follow stay as fast as without them.
 */
export class DeliveryPace {
  readonly #clock: Clock;
  readonly #answered: () => number;
  readonly #usedShare: () => number;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #answeredThen: number;
  #busyUntilMs = Number.NEGATIVE_INFINITY;
  /** When the next delivery may begin, by the monotonic clock. */
  #freeMs = 0;

  constructor({ clock, answered, usedShare = shareSinceLast() }: DeliveryPaceParts) {
    this.#clock = clock;
    this.#answered = answered;
    this.#usedShare = usedShare;
    this.#answeredThen = answered();
  }

  /** Resolves when the next delivery may begin. */
  async turn(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const beginMs = Math.max(nowMs, this.#freeMs);
    this.#freeMs = beginMs + (this.#isBusy() ? 1_000 / busyPerSecond : 0);
    if (beginMs > nowMs) await this.#clock.sleep(beginMs - nowMs, signal);
  }

  /** How long to let events come together. */
  gatherMs(): number {
    return this.#isBusy() ? gather.busyMs : gather.idleMs;
  }

  #isBusy(): boolean {
    const nowMs = this.#clock.monotonicMs();
    const passedMs = nowMs - this.#lookedMs;
    if (passedMs >= lookEveryMs) {
      this.#lookedMs = nowMs;
      const answered = this.#answered();
      const hasRequests = answered - this.#answeredThen >= (leastRequestsPerSecond * passedMs) / 1_000;
      this.#answeredThen = answered;
      // Asked each time: it speaks of the time since.
      if (this.#usedShare() > busyShare && hasRequests) this.#busyUntilMs = nowMs + staysBusyMs;
    }
    return nowMs < this.#busyUntilMs;
  }
}

function shareSinceLast(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
