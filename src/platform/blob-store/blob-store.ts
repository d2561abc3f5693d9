/** Where a finished blob's bytes are: random, chosen at `begin`, never reused. */
export type StorageKey = string;
/** An unfinished blob in the store; a text, so that an upload row can hold it and another process go on. */
export type StoreHandle = string;
/** What the store needs to know of a stored part at `complete`. */
export type PartToken = string;

export type PartPlace = {
  /** From 1, without gaps. */
  readonly number: number;
  /** Bytes stored by the parts before it; bytes beyond it left by a part that failed are overwritten. */
  readonly offset: number;
};

export type StoredPart = { readonly token: PartToken; readonly sizeBytes: number };

export type ReadOptions = {
  /**
   * The bytes of a chunk are valid only until the next one is asked for, or the read ends; whoever sends them waits until they
   * have left. Costs less than half the time, and no memory that grows.
   */
  readonly mayReuse?: boolean;
};

/** Half-open, in bytes. */
export type ByteRange = { readonly start: number; readonly end: number };

/** One blob in the store; its key is the one `begin` chose. */
export type StoreEntry = {
  readonly key: StorageKey;
  readonly sizeBytes: number;
  readonly modifiedMicros: number;
  /** Set while the blob is begun and not completed: what `abort` takes. */
  readonly handle: StoreHandle | undefined;
};

/** The store does not hold what the database names: a blob, or bytes of an unfinished one. */
export class BlobMissing extends Error {}

/**
 * Keeps bytes under random keys; knows neither digests nor registries (house plan, idea 4). Every store passes
 * `blob-store-suite.ts`. Throws `storageFull`, `storageReadOnly`, BlobMissing; other faults pass through with their cause.
 */
export type BlobStore = {
  /** Every part but the last must be at least this long; 0 when any length will do. */
  readonly minPartBytes: number;
  readonly begin: () => Promise<StoreHandle>;
  /** The key that `complete` will give this handle. */
  readonly keyOf: (handle: StoreHandle) => StorageKey;
  /** Stores one part from a stream, with back-pressure; on a throw the bytes of this part do not count. */
  readonly part: (handle: StoreHandle, place: PartPlace, bytes: AsyncIterable<Uint8Array>) => Promise<StoredPart>;
  /** Reads back from an unfinished blob what its parts stored; used to hash an upload that another process began. */
  readonly readUnfinished: (handle: StoreHandle, tokens: readonly PartToken[]) => AsyncIterable<Uint8Array>;
  /** Bytes of an unfinished blob that survived, at most the sum of its parts. */
  readonly unfinishedBytes: (handle: StoreHandle, tokens: readonly PartToken[]) => Promise<number>;
  /** Makes the blob durable under its key: when it resolves, the bytes and the name survive a power loss. */
  readonly complete: (handle: StoreHandle, tokens: readonly PartToken[]) => Promise<StorageKey>;
  /** Frees an unfinished blob; nothing happens when it is gone already. */
  readonly abort: (handle: StoreHandle) => Promise<void>;
  /** Chunks of at most 256 KiB; without a range from the first byte to the last. Opened lazily at the first pull; closed on return. */
  readonly read: (key: StorageKey, range?: ByteRange, options?: ReadOptions) => AsyncIterable<Uint8Array>;
  /** Removes blobs; keys that are gone already are fine. */
  readonly removeMany: (keys: readonly StorageKey[]) => Promise<void>;
  /** Everything in the store whose key begins with `prefix`, in no particular order. */
  readonly list: (prefix: string) => AsyncIterable<StoreEntry>;
  /** Throws when the store cannot be reached or written; for `/readyz`. */
  readonly check: () => Promise<void>;
};
