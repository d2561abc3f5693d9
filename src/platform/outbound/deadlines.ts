import type { Clock } from '../clock.ts';
import { OutboundError } from './outbound-error.ts';

export type DeadlineTimes = {
  readonly headMs: number;
  readonly totalMs: number | undefined;
  readonly callerSignal: AbortSignal | undefined;
};

/** The time limits of one call, joined with its caller's own signal. */
export class Deadlines {
  /** Ends the call. */
  readonly signal: AbortSignal;
  readonly #late = new AbortController();
  readonly #headArrived = new AbortController();
  readonly #ended = new AbortController();
  readonly #callerSignal: AbortSignal | undefined;

  constructor({ headMs, totalMs, callerSignal }: DeadlineTimes, clock: Clock) {
    this.#callerSignal = callerSignal;
    this.signal = AbortSignal.any(callerSignal === undefined ? [this.#late.signal] : [this.#late.signal, callerSignal]);
    this.#arm(clock, headMs, this.#headArrived.signal);
    if (totalMs !== undefined) this.#arm(clock, totalMs, this.#ended.signal);
  }

  headArrived(): void {
    this.#headArrived.abort();
  }

  end(): void {
    this.#headArrived.abort();
    this.#ended.abort();
  }

  /** What a fault of the call is to its caller: the caller's own reason when it gave up, else an OutboundError. */
  explain(cause: unknown): unknown {
    if (this.#callerSignal?.aborted === true) return this.#callerSignal.reason;
    if (this.#late.signal.aborted) return this.#late.signal.reason;
    if (cause instanceof OutboundError) return cause;
    if (isTimeout(cause)) return new OutboundError('timeout', 'the other side was silent for too long', { cause });
    return new OutboundError('failed', 'the call failed', { cause });
  }

  #arm(clock: Clock, ms: number, disarm: AbortSignal): void {
    clock.sleep(ms, disarm).then(
      () => this.#late.abort(new OutboundError('timeout', 'the call took too long')),
      () => {
        // Disarmed in time.
      },
    );
  }
}

function isTimeout(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && String(cause.code).endsWith('_TIMEOUT');
}
