import type { Cell } from './cell.ts';

/** Looks at one program of a cell, to tell why it failed where a limit of the run is the reason. */
export type LimitWatch = {
  /** What the program prints, in order. */
  readonly see: (chunk: Uint8Array) => void;
  /** A text for the run's owner after the program has failed; empty where no limit was met. */
  readonly explain: () => Promise<string>;
};

const diskFull = /no space left on device|disk quota exceeded/i;
/** A message that is cut between two pieces is met whole. */
const keptCharacters = 200;

/** Begins with the program. What other programs of the run meet at the same time is told too: they share its limits. */
export async function watchLimits(cell: Pick<Cell, 'refusals'>): Promise<LimitWatch> {
  const before = await cell.refusals?.();
  let end = '';
  let isDiskFull = false;
  return {
    see: (chunk) => {
      const text = `${end}${Buffer.from(chunk).toString('latin1')}`;
      isDiskFull ||= diskFull.test(text);
      end = text.slice(-keptCharacters);
    },
    explain: async () => {
      const now = await cell.refusals?.();
      if (before === undefined || now === undefined) return '';
      const { limits } = now;
      return [
        ...(now.memory > before.memory
          ? [`the memory that the run may have is used up (${limits.memoryMiB} MiB)`]
          : []),
        ...(now.processes > before.processes ? [`the run has as many processes as it may (${limits.processes})`] : []),
        ...(isDiskFull ? [`the disk of the run is full (${limits.diskMiB} MiB)`] : []),
      ].join('; ');
    },
  };
}
