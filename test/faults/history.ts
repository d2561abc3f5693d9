import { appendFileSync, readFileSync } from 'node:fs';
import type { BlobSeed, UniqueManifest } from './content.ts';

/** `unknown`: the connection broke, so it may or may not have happened. `refused`: a definite answer other than success. */
export type Outcome = 'ok' | 'refused' | 'unknown';

/** Milliseconds of the test's monotonic clock. */
type Interval = { readonly startMs: number; readonly endMs: number };
type Result = { readonly outcome: Outcome; readonly status?: number };

export type PushEntry = {
  readonly kind: 'push';
  readonly repository: string;
  /** Undefined when pushed by digest. */
  readonly tag: string | undefined;
  /** Whether many write this tag; any other tag is written once. */
  readonly isRegister: boolean;
  readonly manifest: UniqueManifest;
  readonly blobs: readonly BlobSeed[];
  readonly subject: string | undefined;
};
export type BlobEntry = { readonly kind: 'blob'; readonly repository: string; readonly blob: BlobSeed };
/** `reference` is the tag or the digest deleted. */
export type DeleteEntry = { readonly kind: 'delete'; readonly repository: string; readonly reference: string };
/** `digest` is what the register held; undefined when it held nothing. */
export type ReadEntry = {
  readonly kind: 'read';
  readonly repository: string;
  readonly tag: string;
  readonly digest: string | undefined;
};
/** A puller saw something that must never be while the server is well. */
export type ViolationEntry = { readonly kind: 'violation'; readonly text: string; readonly status: number };

export type Operation = PushEntry | BlobEntry | DeleteEntry | ReadEntry;
export type Done<T extends Operation = Operation> = T & Interval & Result;
export type Entry = Done | ViolationEntry;

/**
 * What clients asked and were told: JSON lines in a file outside the server, written as each answer arrives.
 * Design: the checker of etcd's robustness tests.
 */
export class History {
  readonly file: string;
  #fault: 'none' | 'failing' | 'doubtful' = 'none';

  constructor(file: string) {
    this.file = file;
    appendFileSync(file, '');
  }

  /**
   * While a fault of the machine lasts, failures of the server (5xx) are no violations. With `isDoubtful` its other answers
   * may not hold either: after the moment at which a machine lost its power no client would have read them.
   */
  faultBegins({ isDoubtful }: { readonly isDoubtful: boolean }): void {
    this.#fault = isDoubtful ? 'doubtful' : 'failing';
  }

  faultEnds(): void {
    this.#fault = 'none';
  }

  /** Returns the entry as it was written down. */
  append<T extends Entry>(entry: T): T {
    const written = this.#judged(entry);
    if (written !== undefined) appendFileSync(this.file, `${JSON.stringify(written)}\n`);
    return written ?? entry;
  }

  entries(): Entry[] {
    return readFileSync(this.file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map(entryOf);
  }

  #judged<T extends Entry>(entry: T): T | undefined {
    const isFailure = (entry.status ?? 0) >= 500;
    if (this.#fault === 'none' || (this.#fault === 'failing' && !isFailure)) return entry;
    if (entry.kind === 'violation') return isFailure ? undefined : entry;
    return { ...entry, outcome: 'unknown' };
  }
}

/** Cast: the lines are those that `append` wrote. */
function entryOf(line: string): Entry {
  return JSON.parse(line) as Entry;
}
