import type { RunResult } from '../run-scenarios.ts';

/** Requests per second over the whole wall time, as `zb` counts. */
export function rateOf(run: RunResult): number {
  return run.requests / run.seconds;
}

/** The run in the middle when sorted by rate: its figures belong together. */
export function medianRun(runs: readonly RunResult[]): RunResult | undefined {
  const sorted = [...runs].sort((a, b) => rateOf(a) - rateOf(b));
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
