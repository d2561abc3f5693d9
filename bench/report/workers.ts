import type { SequenceResult } from '../run-scenarios.ts';
import { aligned, ratioOf } from './sequence-table.ts';

/** How many times as fast several workers are as one process: a line for each sequence, and one for all of them. Lines for a terminal. */
export function workersTable(results: readonly SequenceResult[]): string {
  const servers = new Set(
    results.flatMap(({ runs }) => [...runs.keys()].filter((name) => workersOf(name) !== undefined)),
  );
  return [...servers].map((server) => tableOf(server, results)).join('\n');
}

function tableOf(server: string, results: readonly SequenceResult[]): string {
  const compared = results.flatMap((result) => {
    const ratio = ratioOf(result, server, 'berth');
    return ratio === undefined ? [] : [{ name: result.sequence.name, ratio }];
  });
  if (compared.length === 0) return '';
  const ratios = compared.map(({ ratio }) => ratio).toSorted((a, b) => a - b);
  const [least, middle, most] = [0, Math.floor((ratios.length - 1) / 2), ratios.length - 1].map((at) =>
    times(ratios[at]),
  );
  return [
    `${workersOf(server)} workers against 1`,
    ...aligned(compared.map(({ name, ratio }) => [name, times(ratio)])),
    `${workersOf(server)} workers against 1: ${middle} in the middle of ${ratios.length} sequences, ${least} to ${most}`,
    '',
  ].join('\n');
}

function workersOf(server: string): string | undefined {
  return /^berth-(\d+)-workers$/.exec(server)?.[1];
}

function times(ratio: number | undefined): string {
  return `${(ratio ?? Number.NaN).toFixed(2)}x`;
}
