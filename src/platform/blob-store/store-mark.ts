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
  if (!(await isClaimed(mark, installation))) await mark.write(installation);
}

/** False while nobody has claimed the store. Throws when it is another's. */
export async function isClaimed(mark: StoreMark, installation: string): Promise<boolean> {
  const owner = await mark.read();
  if (owner === undefined) return false;
  if (owner !== installation)
    throw new Error(
      'the blob store belongs to another installation, and its blobs would be freed: ' +
        'give the database that belongs to it, or another place for the blobs (--blobs)',
    );
  return true;
}

/** What is read back, without what an editor may have added. */
export function markOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8').trim();
}
