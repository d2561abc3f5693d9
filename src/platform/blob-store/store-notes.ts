/**
 * The ability of a store to keep small texts under names that say something, beside the blobs: what lets a store tell what is in it
 * when its database is lost. Names are made of lower-case letters, digits, dots and hyphens.
 */
export type StoreNotes = {
  /** Durable when it resolves; takes the place of what had this name. */
  readonly put: (name: string, bytes: Uint8Array) => Promise<void>;
  /** Undefined when there is none of this name. */
  readonly get: (name: string) => Promise<Uint8Array | undefined>;
  /** Those whose name begins with `prefix`, in no particular order. */
  readonly list: (prefix: string) => AsyncIterable<NoteEntry>;
  /** Removes notes; those that are gone already are fine. */
  readonly removeMany: (names: readonly string[]) => Promise<void>;
};

export type NoteEntry = { readonly name: string; readonly sizeBytes: number };

/** Other files in the folder are not ours. */
export function isNoteName(text: string): boolean {
  return /^[a-z0-9][a-z0-9.-]{0,199}$/.test(text);
}

/** The name, where it is one. */
export function checkedNoteName(name: string): string {
  if (isNoteName(name)) return name;
  throw new Error('malformed name of a note');
}
