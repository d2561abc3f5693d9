import type { Clock } from '../platform/clock.ts';
import type { BuiltInLine, RunOrder } from '../wire/builds/agent-protocol.ts';
import type { ImageDependencies, OutputImage } from '../wire/builds/run-work.ts';
import type { Parse } from './early-programs.ts';
import type { Cell } from './executors/cell.ts';
import type { Executor, RunningContainer } from './executors/executor.ts';
import type { RunLog } from './run-log.ts';

/** All that the steps of one run share. */
export type RunRoom = {
  readonly order: RunOrder;
  readonly cell: Cell;
  readonly executor: Executor;
  readonly log: RunLog;
  readonly clock: Clock;
  /** The run's files in the cell; steps see them as `/workspace`. */
  readonly workspace: string;
  /** Folders of secret volumes in the cell, by name. */
  readonly volumes: ReadonlyMap<string, string>;
  /** Names of those that the task has. */
  readonly networks: readonly string[];
  /** What first words of a `cmd` stand for. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Login servers that names may begin with. */
  readonly registries: readonly string[];
  readonly runBuiltIn: (words: readonly string[], signal: AbortSignal) => AsyncGenerator<BuiltInLine>;
  /** Reads what strangers wrote. */
  readonly parse: Parse;
  readonly made: MadeImages;
};

/** What the steps of a run have made so far. */
export type MadeImages = {
  readonly containers: Map<string, RunningContainer>;
  /** Beside those of the task. */
  readonly networks: Set<string>;
  /** By full name. */
  readonly pushed: Map<string, OutputImage>;
  readonly built: BuiltImage[];
};

export type BuildDependencies = Omit<ImageDependencies, 'image'>;

export type BuiltImage = {
  readonly stepId: string;
  /** Full names. */
  readonly tags: readonly string[];
  readonly dependencies: BuildDependencies;
};
