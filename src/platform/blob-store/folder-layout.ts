import { join } from 'node:path';
import type { StorageKey } from './blob-store.ts';

/*
 * <folder>/
 * ├── installation       whose store this is
 * ├── notes/             what is in the store, and what else is kept beside its blobs
 * ├── incoming/
 * │   └── <key>          a blob that is being written; its handle is its key
 * └── blobs/
 *     ├── 00/            the first two characters of the keys within
 *     ├── …
 *     └── ff/
 *         └── <key>      a finished blob
 */

const keyPattern = /^[0-9a-f]{32}$/;

/** The only builder of paths of the folder store; takes nothing but keys made by `begin`. */
export class FolderLayout {
  readonly folder: string;
  readonly incoming: string;
  readonly blobs: string;

  constructor(folder: string) {
    this.folder = folder;
    this.incoming = join(folder, 'incoming');
    this.blobs = join(folder, 'blobs');
  }

  /** Every folder of finished blobs. */
  fanOut(): string[] {
    return Array.from({ length: 256 }, (_, index) => join(this.blobs, index.toString(16).padStart(2, '0')));
  }

  unfinishedPath(key: StorageKey): string {
    return join(this.incoming, checked(key));
  }

  finishedFolder(key: StorageKey): string {
    return join(this.blobs, checked(key).slice(0, 2));
  }

  finishedPath(key: StorageKey): string {
    return join(this.finishedFolder(key), key);
  }
}

/** Other files in the folders (`lost+found`, an operator's) are not ours. */
export function isStorageKey(text: string): boolean {
  return keyPattern.test(text);
}

function checked(key: StorageKey): StorageKey {
  if (isStorageKey(key)) return key;
  throw new Error('malformed storage key');
}
