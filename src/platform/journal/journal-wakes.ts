/** Carries the names of streams that got events from one process to the others. May lose some: consumers also look by themselves. */
export type JournalWakes = {
  /** Tells the others; never waits and never throws. */
  readonly send: (streams: readonly string[]) => void;
  /** Sets who is called with what the others sent. An empty list means: any stream. */
  readonly onWake: (wake: (streams: readonly string[]) => void) => void;
  readonly close: () => Promise<void>;
};
