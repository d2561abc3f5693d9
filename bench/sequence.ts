import type { ImageSource } from './images.ts';
import type { Recorder } from './recorder.ts';
import type { Target } from './servers/target.ts';

/** One run of a sequence; its wall time is the measurement. `share` below 1 makes it shorter: the warm-up. */
export type SequenceRun = (recorder: Recorder, share: number) => Promise<void>;

export type Sequence = {
  readonly name: string;
  readonly clients: number;
  /** What two servers are compared by; requests per second when absent. */
  readonly comparesBy?: 'p50';
  readonly warmsUp?: boolean;
};

/** Sequences that share one started server and what was prepared on it. */
export type Scenario = {
  /** Runs on each server where that is not the number asked for: 1 for what is long. */
  readonly rounds?: number;
  readonly sequences: readonly Sequence[];
  /** Servers left out, by name, and why. */
  readonly without?: Readonly<Record<string, string>>;
  /** Fills a fresh server outside the timing; returns the runs by the names of their sequences. */
  readonly prepare: (target: Target, images: ImageSource) => Promise<ReadonlyMap<string, SequenceRun>>;
};

/** Runs `work` once for each of `clients` at the same time. */
export async function together(clients: number, work: (client: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: clients }, (_, client) => work(client)));
}
