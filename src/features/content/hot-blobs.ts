import type { StorageKey } from '../../platform/blob-store/blob-store.ts';

/** After so many reads all counts are halved, and those of one read forgotten: what nobody pulls any more makes room. */
const readsPerAge = 4_096;
/** No count is higher, so that what was read most is not in the way for longer than a few ages. */
const maxCount = 15;
/** What a blob takes beside its bytes. */
const entryBytes = 1_024;
/** Least recently read blobs that are looked at for one that may go. */
const maxLookedAt = 64;

/** A whole blob in memory; nobody takes its place before `release`. */
export type HeldBlob = { readonly bytes: Uint8Array; readonly release: () => void };

/** Room for one blob, filled by a read that passes its bytes on to somebody. */
export type Filling = {
  readonly add: (chunk: Uint8Array) => void;
  /** Ends the filling: the blob is held from now on if all its bytes came. */
  readonly end: () => void;
};

type Entry = { readonly memory: Buffer; holders: number };

/**
 * Small blobs that are pulled again and again, whole and already checked, so that a pull of them neither reads nor checks. A blob
 * comes in at its second read, and takes the place only of those that are read less often; what is being sent stays, and counts.
 * A storage key is never used again for other bytes, so nothing here can be out of date; who may read a blob is asked elsewhere.
 */
export class HotBlobs {
  readonly #budgetBytes: number;
  readonly #maxBlobBytes: number;
  /** Least recently read first. */
  readonly #entries = new Map<StorageKey, Entry>();
  readonly #filling = new Set<StorageKey>();
  #counts = new Map<StorageKey, number>();
  #readsOfAge = 0;
  #usedBytes = 0;

  /** `budgetBytes`: what all blobs take together; 0 keeps none. A blob takes at most a quarter. */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
    this.#maxBlobBytes = budgetBytes / 4;
  }

  /** Counts a read; undefined when the blob is not here. */
  hold(key: StorageKey): HeldBlob | undefined {
    if (this.#budgetBytes === 0) return undefined;
    this.#count(key);
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.holders += 1;
    let isHeld = true;
    const release = () => {
      if (isHeld) entry.holders -= 1;
      isHeld = false;
    };
    return { bytes: entry.memory, release };
  }

  /** Undefined when the blob is to be read as if there were no memory for any. */
  fill(key: StorageKey, sizeBytes: number): Filling | undefined {
    const takenBytes = sizeBytes + entryBytes;
    if (takenBytes > this.#maxBlobBytes || this.#filling.has(key) || !this.#makeRoom(key, takenBytes)) return undefined;
    this.#filling.add(key);
    this.#usedBytes += takenBytes;
    const memory = Buffer.allocUnsafeSlow(sizeBytes);
    let filledBytes = 0;
    return {
      add: (chunk) => {
        memory.set(chunk, filledBytes);
        filledBytes += chunk.length;
      },
      end: () => {
        if (!this.#filling.delete(key)) return;
        if (filledBytes === sizeBytes) this.#entries.set(key, { memory, holders: 0 });
        else this.#usedBytes -= takenBytes;
      },
    };
  }

  #count(key: StorageKey): void {
    this.#readsOfAge += 1;
    if (this.#readsOfAge > readsPerAge) {
      this.#readsOfAge = 1;
      this.#counts = new Map([...this.#counts].flatMap(([other, count]) => (count > 1 ? [[other, count >> 1]] : [])));
    }
    this.#counts.set(key, Math.min((this.#counts.get(key) ?? 0) + 1, maxCount));
  }

  /** Removes blobs that are read less often and that nobody is being sent. */
  #makeRoom(key: StorageKey, takenBytes: number): boolean {
    const reads = this.#counts.get(key) ?? 0;
    if (reads < 2) return false;
    let freeBytes = this.#budgetBytes - this.#usedBytes;
    const leaving: [StorageKey, Entry][] = [];
    for (const [other, entry] of this.#entries.entries().take(maxLookedAt)) {
      if (freeBytes >= takenBytes) break;
      if (entry.holders > 0) continue;
      if ((this.#counts.get(other) ?? 0) >= reads) continue;
      leaving.push([other, entry]);
      freeBytes += entry.memory.length + entryBytes;
    }
    if (freeBytes < takenBytes) return false;
    for (const [other, { memory }] of leaving) {
      this.#entries.delete(other);
      this.#usedBytes -= memory.length + entryBytes;
    }
    return true;
  }
}
