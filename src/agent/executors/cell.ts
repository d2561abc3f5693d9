import type { Socket } from 'node:net';
import type { ProgramOptions } from '../program.ts';
import type { Turns } from '../turns.ts';

/** What a run may use at most. */
export type CellLimits = {
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  readonly processes: number;
};

/** How often the kernel kept a cell to its limits. */
export type CellRefusals = {
  readonly limits: CellLimits;
  /** Programs that were ended because there was no memory left. */
  readonly memory: number;
  readonly processes: number;
};

/** Where a program in a cell reads what was given to it alone. */
export const givenFile = '/proc/self/fd/3';

export type CellProgram = Omit<ProgramOptions, 'env' | 'cwd' | 'openFile'> & {
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute, as programs in the cell see it; the cell's folder unless given. */
  readonly cwd?: string;
  /** The program reads it from `givenFile`. It has no name in any mount: what else runs in the cell does not find it. */
  readonly given?: string;
  /** Processors of those of the cell that it and what it starts use at most. What it started ends with it then. */
  readonly cpus?: number | undefined;
};

/** Listens inside the cell's network; each connection is answered by us, outside. */
export type CellDoor = { readonly close: () => void };

/** What a cell has from its beginning. */
export type CellOpening = {
  /** Names that it resolves to its own bridge. */
  readonly hosts: readonly string[];
  /** What answers connections, by port. */
  readonly doors: ReadonlyMap<number, (connection: Socket) => void>;
  /** Called as soon as programs may run beside it, while it is made. */
  readonly onLimits: (beside: Pick<Cell, 'beside' | 'besideTurns'>) => void;
};

/**
 * The room in which one run lives: its own users, processes, mounts, network, disk and limits. Nothing outside is reached
 * from it but through doors. When it closes, or the agent dies, the kernel ends every process and mount in it.
 */
export type Cell = {
  /** The run's disk as programs in the cell see it. We never follow a path below it ourselves: links in it are hostile. */
  readonly folder: string;
  /** Address of the cell's bridge: where its doors are, also from containers. */
  readonly address: string;
  /** Runs a program by its words. Rejects with the signal's reason when aborted, after the program has been ended. */
  readonly run: (words: readonly string[], program?: CellProgram) => Promise<number>;
  /** Standard output. Throws ProgramError when the code is not 0. */
  readonly read: (words: readonly string[], program?: CellProgram) => Promise<string>;
  /** Words that run a program of ours outside, on the machine, within the limits of the cell; undefined for a room without. */
  readonly beside?: (words: readonly string[]) => readonly string[];
  /** Of those programs: each takes memory that its steps have less. */
  readonly besideTurns?: Turns;
  /** Throws when the port is taken. */
  readonly listen: (port: number, answer: (connection: Socket) => void) => Promise<CellDoor>;
  /** What its limits have cost its programs so far; undefined for a room that counts nothing. */
  readonly refusals?: () => Promise<CellRefusals>;
  /** Processor time so far, in seconds; undefined where it cannot be read. */
  readonly cpuSeconds: () => Promise<number | undefined>;
  /** Ends all that is in it and removes what it stood on. Never throws for what is gone already. */
  readonly close: () => Promise<void>;
};
