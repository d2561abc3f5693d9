import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import type { StoreMark } from '../platform/blob-store/store-mark.ts';

/** Where backups are kept: a folder, or an object store. Snapshots are named by their moment, `2026-01-31T04-05-06Z`. */
export type BackupPlace = {
  /** The blobs of all snapshots. */
  readonly blobs: BlobStore;
  /** Whose blobs these are. */
  readonly mark: StoreMark;
  /** Keeps other backups away until it is disposed of. Throws BackupUnderWay when one is at work here. */
  readonly lock: () => Promise<BackupLock>;
  /** Keeps snapshots and blobs from being removed until it is disposed of. */
  readonly read: () => Promise<AsyncDisposable>;
  /** Whether somebody reads. */
  readonly isRead: () => Promise<boolean>;
  /** Says in the place which snapshots need its blobs, before any is copied. */
  readonly claimBlobs: () => Promise<void>;
  /** Throws when snapshots that are kept elsewhere may need the blobs of this place. */
  readonly requireUnshared: () => Promise<void>;
  /** Finished ones, oldest first. */
  readonly snapshots: () => Promise<readonly string[]>;
  /** Has `write` make a database file, then calls `use` on it, then keeps it as a finished snapshot. */
  readonly add: <T>(snapshot: NewSnapshot<T>) => Promise<T>;
  /** A snapshot as a file, for as long as `use` runs. Throws when there is none of this name, or its bytes are wrong. */
  readonly open: <T>(name: string, use: (file: string) => Promise<T>) => Promise<T>;
  /** Keys among the blobs that hold no blob of an installation. */
  readonly ownKeys: () => Promise<readonly string[]>;
  readonly remove: (names: readonly string[]) => Promise<void>;
};

export type BackupLock = AsyncDisposable & {
  /** Renews it. Throws once others may have taken its place: nothing more is to be added or removed then. */
  readonly confirm: () => Promise<void>;
};

export type NewSnapshot<T> = {
  readonly moment: string;
  readonly lock: BackupLock;
  readonly write: (file: string) => Promise<void>;
  readonly use: (file: string) => Promise<T>;
};

export class BackupUnderWay extends Error {
  constructor(cause?: unknown) {
    super('another backup is at work here; wait for its end', { cause });
  }
}
