/**
 * The ability of a store to remember whose it is. Upkeep frees what the database does not name, so a store that is opened with
 * another installation's database would be emptied.
 */
export type StoreMark = {
  /** Undefined while nobody has claimed the store. */
  readonly read: () => Promise<string | undefined>;
  readonly write: (owner: string) => Promise<void>;
};

/** Claims a store for an installation. Throws when it is another's. */
export async function claimStore(mark: StoreMark, installation: string): Promise<void> {
  const owner = await mark.read();
  if (owner === undefined) await mark.write(installation);
  else if (owner !== installation)
    throw new Error(
      'the blob store belongs to another installation, and its blobs would be freed: ' +
        'give the database that belongs to it, or another place for the blobs (--blobs)',
    );
}

/** What is read back, without what an editor may have added. */
export function markOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8').trim();
}
