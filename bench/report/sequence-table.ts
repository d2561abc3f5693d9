import { GiB, MiB } from '../images.ts';
import type { RunResult, SequenceResult } from '../run-scenarios.ts';
import { medianRun, rateOf } from './median.ts';

/** How many times as fast as `other` a server was; by what the sequence says that servers are compared by. */
export function ratioOf(result: SequenceResult, server: string, other: string): number | undefined {
  const mine = medianRun(result.runs.get(server) ?? []);
  const theirs = medianRun(result.runs.get(other) ?? []);
  if (mine === undefined || theirs === undefined) return undefined;
  if (result.sequence.comparesBy === 'p50') return theirs.latencyMs.p50 / mine.latencyMs.p50;
  return rateOf(mine) / rateOf(theirs);
}

const columns = [
  '',
  'req/s',
  'MiB/s',
  'p50 ms',
  'p90 ms',
  'p99 ms',
  'CPU-s/1000',
  'CPU-s/GiB',
  'peak MiB',
  'grew MiB',
  'ratio',
];

/** One sequence as lines for a terminal; `first` is the server that the others are compared with. */
export function sequenceTable(result: SequenceResult, first: string, showsSteps: boolean): string {
  const medians = [...result.runs].flatMap(([server, runs]) => {
    const run = medianRun(runs);
    return run === undefined ? [] : [{ server, run, peak: peakOf(runs) }];
  });
  const rows = medians.map(({ server, run, peak }) => rowOf(server, run, peak, ratioText(result, first, server)));
  const count = medians[0]?.run.requests ?? 0;
  const rounds = Math.max(0, ...[...result.runs.values()].map((runs) => runs.length));
  const title = `${result.sequence.name}  (clients ${result.sequence.clients}, requests ${count}, median of ${rounds})`;
  return [
    rows.length === 0 ? result.sequence.name : title,
    ...(rows.length === 0 ? [] : aligned([columns, ...rows])),
    ...medians.flatMap(({ server, run }) => failures(server, run)),
    ...[...result.missing].map(([server, why]) => `  ${server}: no figure: ${why}`),
    ...(showsSteps ? medians.flatMap(({ server, run }) => stepLines(server, run)) : []),
    '',
  ].join('\n');
}

function rowOf(server: string, run: RunResult, peakRssBytes: number | undefined, ratio: string): string[] {
  const usage = run.server;
  return [
    server,
    number(rateOf(run)),
    run.payloadBytes === 0 ? '' : number(run.payloadBytes / MiB / run.seconds),
    number(run.latencyMs.p50),
    number(run.latencyMs.p90),
    number(run.latencyMs.p99),
    usage === undefined ? '' : number((usage.cpuSeconds * 1000) / run.requests),
    usage === undefined || run.payloadBytes === 0 ? '' : number(usage.cpuSeconds / (run.payloadBytes / GiB)),
    peakRssBytes === undefined ? '' : number(peakRssBytes / MiB),
    usage === undefined ? '' : number(usage.rssGrowthBytes / MiB),
    ratio,
  ];
}

function peakOf(runs: readonly RunResult[]): number | undefined {
  const peaks = runs.flatMap((run) => (run.server === undefined ? [] : [run.server.peakRssBytes]));
  return peaks.length === 0 ? undefined : Math.max(...peaks);
}

function ratioText(result: SequenceResult, first: string, server: string): string {
  const ratio = server === first ? undefined : ratioOf(result, first, server);
  return ratio === undefined ? '' : `${ratio.toFixed(2)}x`;
}

function failures(server: string, run: RunResult): string[] {
  return Object.entries(run.errors).map(
    ([error, count]) => `  ${server}: FAILED ${count} of ${run.requests}: ${error}`,
  );
}

function stepLines(server: string, run: RunResult): string[] {
  const rows = Object.entries(run.stepsMs).map(([step, { p50, p90, p99 }]) => [
    `  ${step}`,
    ...[p50, p90, p99].map(number),
  ]);
  return rows.length === 0 ? [] : [`  ${server}, steps`, ...aligned([['', 'p50 ms', 'p90 ms', 'p99 ms'], ...rows])];
}

/** The first column to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const cell = (text: string, column: number) =>
    column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0);
  return rows.map((row) => `  ${row.map(cell).join('  ')}`.trimEnd());
}

/** Three significant digits where there are that many. */
function number(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
