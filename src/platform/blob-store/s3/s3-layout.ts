import type { StorageKey } from '../blob-store.ts';
import { isStorageKey } from '../folder-layout.ts';
import { checkedNoteName, isNoteName } from '../store-notes.ts';

/*
 * <prefix>
 * ├── installation               whose store this is
 * ├── notes/
 * │   └── <name>                 what is in the store, and what else is kept beside its blobs
 * ├── blobs/
 * │   └── <key>                  a finished blob; its multipart upload goes by this name too
 * └── incoming/
 *     ├── <key>.<start>-<bytes>  what follows the last part of an unfinished blob and is too short for one
 *     ├── <key>.sealed           blobs/<key> holds an unfinished blob, so that it can be read
 *     └── check                  written to see whether the store can be; stays, so that gateways over a file system, which
 *                                remove an empty folder even while something new is put into it, never do so here
 */

/** What the name of an object says. */
export type ObjectMeaning =
  | { readonly kind: 'blob'; readonly key: StorageKey }
  | { readonly kind: 'tail'; readonly key: StorageKey; readonly end: number }
  | { readonly kind: 'seal'; readonly key: StorageKey };

/** The only builder of object names; takes nothing but keys made by `begin`. */
export class S3Layout {
  readonly #prefix: string;

  /** `prefix` is empty or ends with a slash. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  blobs(keyPrefix: string): string {
    return `${this.#prefix}blobs/${keyPrefix}`;
  }

  blob(key: StorageKey): string {
    return this.blobs(checked(key));
  }

  incoming(keyPrefix: string): string {
    return `${this.#prefix}incoming/${keyPrefix}`;
  }

  tail(key: StorageKey, start: number, sizeBytes: number): string {
    return this.incoming(`${checked(key)}.${start}-${sizeBytes}`);
  }

  seal(key: StorageKey): string {
    return this.incoming(`${checked(key)}.sealed`);
  }

  mark(): string {
    return `${this.#prefix}installation`;
  }

  check(): string {
    return this.incoming('check');
  }

  notes(namePrefix: string): string {
    return `${this.#prefix}notes/${namePrefix}`;
  }

  note(name: string): string {
    return this.notes(checkedNoteName(name));
  }

  /** The name of a note among `notes`; undefined for objects that are not ours. */
  noteOf(name: string): string | undefined {
    const note = name.slice(this.notes('').length);
    return isNoteName(note) ? note : undefined;
  }

  /** Undefined for objects that are not ours. */
  meaningOf(name: string): ObjectMeaning | undefined {
    const [, kind, key = '', rest] =
      /^(blobs|incoming)\/([0-9a-f]+)(?:\.(.+))?$/.exec(name.slice(this.#prefix.length)) ?? [];
    if (!name.startsWith(this.#prefix) || !isStorageKey(key)) return undefined;
    if (kind === 'blobs') return rest === undefined ? { kind: 'blob', key } : undefined;
    if (rest === 'sealed') return { kind: 'seal', key };
    const [, start, size] = /^(\d+)-(\d+)$/.exec(rest ?? '') ?? [];
    return size === undefined ? undefined : { kind: 'tail', key, end: Number(start) + Number(size) };
  }
}

function checked(key: StorageKey): StorageKey {
  if (isStorageKey(key)) return key;
  throw new Error('malformed storage key');
}
