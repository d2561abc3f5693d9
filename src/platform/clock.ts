/** Time as the program sees it; tests pass one they hold still. */
export type Clock = {
  /** Wall time in integer microseconds since 1970, for rows and tokens. */
  readonly nowMicros: () => number;
  /** Milliseconds that only grow, for time-outs and durations; unaffected by changes of the wall clock. */
  readonly monotonicMs: () => number;
  /** Resolves after `ms` by the monotonic clock; rejects with the signal's reason when aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
};
