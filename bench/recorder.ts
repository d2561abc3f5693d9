/** Latencies in milliseconds. */
export type Latency = { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };

/** Collects what one run of a sequence sees. All times in milliseconds. */
export class Recorder {
  /** One per request of the sequence: a whole push, a whole pull, one GET. */
  readonly #sequence: number[] = [];
  readonly #steps = new Map<string, number[]>();
  readonly #errors = new Map<string, number>();
  #payloadBytes = 0;

  /** Runs and times one request of the sequence; a throw counts as failed and does not pass on. */
  async sequence(work: () => Promise<void>): Promise<void> {
    const start = performance.now();
    try {
      await work();
    } catch (cause) {
      this.#failed(cause);
    }
    this.#sequence.push(performance.now() - start);
  }

  /** Takes a request of the sequence that was timed elsewhere. */
  timed(ms: number): void {
    this.#sequence.push(ms);
  }

  step(name: string, ms: number): void {
    const known = this.#steps.get(name);
    if (known === undefined) this.#steps.set(name, [ms]);
    else known.push(ms);
  }

  /** Counts bytes of layers that moved in either direction. */
  payload(bytes: number): void {
    this.#payloadBytes += bytes;
  }

  get count(): number {
    return this.#sequence.length;
  }

  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  get failed(): number {
    return [...this.#errors.values()].reduce((sum, count) => sum + count, 0);
  }

  get errors(): ReadonlyMap<string, number> {
    return this.#errors;
  }

  latency(): Latency {
    return latencyOf(this.#sequence);
  }

  steps(): Record<string, Latency> {
    return Object.fromEntries([...this.#steps].map(([name, times]) => [name, latencyOf(times)]));
  }

  #failed(cause: unknown): void {
    const text = cause instanceof Error ? cause.message : String(cause);
    this.#errors.set(text, (this.#errors.get(text) ?? 0) + 1);
  }
}

/** Percentiles as `zb` takes them: the value at `count * p`, rounded down. */
export function latencyOf(times: readonly number[]): Latency {
  const sorted = Float64Array.from(times).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
