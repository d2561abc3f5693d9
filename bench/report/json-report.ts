import type { RunResult, SequenceResult } from '../run-scenarios.ts';
import type { ServerKind } from '../servers/server-kind.ts';
import { machineLine } from './machine.ts';
import { medianRun, rateOf } from './median.ts';

/** All runs with all their figures, and the median run of each, as one JSON document. */
export function jsonReport(kinds: readonly ServerKind[], results: readonly SequenceResult[]): string {
  const document = {
    machine: machineLine(),
    servers: kinds.map(({ name, durability }) => ({ name, durability })),
    sequences: results.map(({ sequence, runs, missing }) => ({
      name: sequence.name,
      clients: sequence.clients,
      missing: Object.fromEntries(missing),
      servers: [...runs].map(([name, all]) => ({ name, median: withRate(all), runs: all })),
    })),
  };
  return JSON.stringify(document, null, 2);
}

function withRate(runs: readonly RunResult[]): object {
  const run = medianRun(runs);
  return run === undefined ? {} : { requestsPerSecond: rateOf(run), ...run };
}
