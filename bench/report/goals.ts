import { MiB } from '../images.ts';
import type { RunResult, SequenceResult } from '../run-scenarios.ts';
import { medianRun, rateOf } from './median.ts';
import { aligned, ratioOf } from './sequence-table.ts';

/** A goal, and what was found of it. */
export type Verdict = { readonly goal: string; readonly found: string; readonly isMet: boolean };
type Figure = {
  readonly sequence: RegExp;
  readonly goal: string;
  readonly check: (run: RunResult) => Omit<Verdict, 'goal'>;
  /** Also of Berth with workers and on PostgreSQL. */
  readonly isOfAll?: boolean;
};

/** What this project holds itself to on a machine with two cores. */
const figures: readonly Figure[] = [
  { sequence: /^Manifest GET/, goal: '>= 12,000 req/s', check: (run) => atLeast(rateOf(run), 12_000, 'req/s') },
  { sequence: /^Blob HEAD/, goal: '>= 3,000 req/s', check: (run) => atLeast(rateOf(run), 3000, 'req/s') },
  { sequence: /^Token issue/, goal: '>= 1,500 req/s', check: (run) => atLeast(rateOf(run), 1500, 'req/s') },
  { sequence: /^(Push|Pull) 10GB layer/, goal: 'memory grows < 64 MiB', check: (run) => below(growth(run), 64, 'MiB') },
  { sequence: /^Tag list page/, goal: 'p99 < 5 ms', check: (run) => below(run.latencyMs.p99, 5, 'ms') },
  { sequence: /^Metadata page/, goal: 'p99 < 10 ms', check: (run) => below(run.latencyMs.p99, 10, 'ms') },
  { sequence: /^Ready with/, goal: '< 1.5 s', check: (run) => below(run.latencyMs.p50, 1500, 'ms') },
  { sequence: /^50 pushes/, goal: '>= 250 MiB/s', check: (run) => atLeast(throughput(run), 250, 'MiB/s') },
  { sequence: /^200 pulls/, goal: '>= 800 MiB/s', check: (run) => atLeast(throughput(run), 800, 'MiB/s') },
  {
    sequence: /^200 pulls/,
    goal: '< 250 MB in each process',
    check: (run) => below(peakMegabytes(run), 250, 'MB'),
    isOfAll: true,
  },
];

/** How many times as fast as which peer, in which sequences. */
const ratios = [
  { server: 'berth', peer: 'docker-registry', sequence: /^(Push Monolith|Push Chunk Streamed|Pull) 1MB/, least: 5 },
  { server: 'berth', peer: 'olareg', sequence: /./, least: 1 },
  { server: 'berth', peer: 'zot', sequence: /./, least: 1 },
  { server: 'berth-postgres', peer: 'berth', sequence: /^(Push|Pull)/, least: 0.6 },
];

/** The goals that these results touch, met or not, as lines for a terminal. */
export function goalTable(results: readonly SequenceResult[]): string {
  return verdictTable(results.flatMap((result) => [...figureVerdicts(result), ...ratioVerdicts(result)]));
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return '';
  const rows = verdicts.map(({ goal, found, isMet }) => [goal, found, isMet ? 'met' : 'MISSED']);
  return ['Goals', ...aligned(rows), ''].join('\n');
}

function figureVerdicts({ sequence, runs }: SequenceResult): Verdict[] {
  const touched = figures.filter((figure) => figure.sequence.test(sequence.name));
  return touched.flatMap(({ goal, check, isOfAll = false }) =>
    [...runs].flatMap(([server, all]) => {
      const run = medianRun(all);
      if (run === undefined || !(server === 'berth' || (isOfAll && server.startsWith('berth-')))) return [];
      return [{ goal: `${sequence.name} ${goal}${server === 'berth' ? '' : ` (${server})`}`, ...check(run) }];
    }),
  );
}

function ratioVerdicts(result: SequenceResult): Verdict[] {
  return ratios.flatMap(({ server, peer, sequence, least }) => {
    const ratio = sequence.test(result.sequence.name) ? ratioOf(result, server, peer) : undefined;
    if (ratio === undefined) return [];
    const goal =
      least === 1 ? `${result.sequence.name} ahead of ${peer}` : `${result.sequence.name} >= ${least}x ${peer}`;
    return [{ goal, found: `${ratio.toFixed(2)}x`, isMet: ratio >= least }];
  });
}

function atLeast(value: number, least: number, unit: string) {
  return { found: `${value.toFixed(0)} ${unit}`, isMet: value >= least };
}

export function below(value: number, limit: number, unit: string) {
  return { found: `${value.toFixed(1)} ${unit}`, isMet: value < limit };
}

function growth(run: RunResult): number {
  return (run.server?.rssGrowthBytes ?? Number.NaN) / MiB;
}

/** Of the process that holds most. */
function peakMegabytes(run: RunResult): number {
  return (run.server?.peakProcessRssBytes ?? Number.NaN) / 1e6;
}

function throughput(run: RunResult): number {
  return run.payloadBytes / MiB / run.seconds;
}
