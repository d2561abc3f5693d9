import type { BusyBuilds } from './busy-builds.ts';
import type { ManifestReaders } from './manifest-readers.ts';

export type ReadInTurn = {
  /** How many times as long the p99 is beside builds. */
  readonly ratio: number;
  readonly alone: Reading;
  readonly beside: Reading;
};

/** Medians of the slices; milliseconds. */
export type Reading = { readonly p50: number; readonly p99: number; readonly perSecond: number };

/**
 * Reads while builds pause and while they work, in slices that take turns, each of both first as often: what else the machine does
 * touches both. The ratio is the median of those of neighbours. Builds work again afterwards.
 */
export async function readInTurn(
  readers: ManifestReaders,
  builds: Pick<BusyBuilds, 'pause' | 'resume'>,
  { pairs, sliceMs }: { readonly pairs: number; readonly sliceMs: number },
): Promise<ReadInTurn> {
  const slice = async (isBeside: boolean): Promise<Reading> => {
    if (isBeside) builds.resume();
    else builds.pause();
    const { count, latency } = await readers.read(sliceMs);
    return { ...latency, perSecond: (count * 1000) / sliceMs };
  };
  const alone: Reading[] = [];
  const beside: Reading[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    const isBesideFirst = pair % 2 === 1;
    const first = await slice(isBesideFirst);
    const second = await slice(!isBesideFirst);
    alone.push(isBesideFirst ? second : first);
    beside.push(isBesideFirst ? first : second);
  }
  builds.resume();
  const ratios = beside.map(({ p99 }, pair) => p99 / (alone[pair]?.p99 ?? Number.NaN));
  return { ratio: median(ratios), alone: medians(alone), beside: medians(beside) };
}

function medians(readings: readonly Reading[]): Reading {
  const of = (figure: (reading: Reading) => number) => median(readings.map(figure));
  return { p50: of(({ p50 }) => p50), p99: of(({ p99 }) => p99), perSecond: of(({ perSecond }) => perSecond) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
