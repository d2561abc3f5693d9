import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import type { StoreMark } from '../platform/blob-store/store-mark.ts';

/** Where backups are kept: a folder, or an object store. Snapshots are named by their moment, `2026-01-31T04-05-06Z`. */
export type BackupPlace = {
  /** The blobs of all snapshots. */
  readonly blobs: BlobStore;
  /** Whose blobs these are. */
  readonly mark: StoreMark;
  /** Keeps other backups away until it is disposed of. Throws when one is at work here. */
  readonly lock: () => Promise<AsyncDisposable>;
  /** Finished ones, oldest first. */
  readonly snapshots: () => Promise<readonly string[]>;
  /** Has `write` make a database file, then calls `use` on it, then keeps it as a finished snapshot. */
  readonly add: <T>(
    moment: string,
    write: (file: string) => Promise<void>,
    use: (file: string) => Promise<T>,
  ) => Promise<T>;
  /** A snapshot as a file, for as long as `use` runs. Throws when there is none of this name, or its bytes are wrong. */
  readonly open: <T>(name: string, use: (file: string) => Promise<T>) => Promise<T>;
  /** Keys among the blobs that hold no blob of an installation. */
  readonly ownKeys: () => Promise<readonly string[]>;
  readonly remove: (names: readonly string[]) => Promise<void>;
};

export class BackupUnderWay extends Error {
  constructor(cause?: unknown) {
    super('another backup is at work here; wait for its end', { cause });
  }
}
