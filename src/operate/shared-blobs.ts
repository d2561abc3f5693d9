import { createHash } from 'node:crypto';
import type { StoreNotes } from '../platform/blob-store/store-notes.ts';

/*
 * <store>/notes/
 * ├── shared-by.<word>   snapshots in a folder elsewhere need blobs of this store; stays until somebody removes it
 * └── own-snapshots      snapshots beside it need them; without it, blobs may be those of a command that left no note
 */

const sharedPrefix = 'shared-by.';
const ownName = 'own-snapshots';

/** Says in a store that snapshots in a folder elsewhere need its blobs. */
export async function shareBlobs(notes: StoreNotes, folder: string): Promise<void> {
  const word = createHash('sha256').update(folder).digest('hex').slice(0, 16);
  await notes.put(`${sharedPrefix}${word}`, Buffer.from(folder));
}

/** Says in a store that blobs were in it before its first snapshot, unless it is known who needs them. */
export async function shareWithUnknown(notes: StoreNotes): Promise<void> {
  for await (const _ of notes.list(sharedPrefix)) return;
  await notes.put(`${sharedPrefix}unknown`, Buffer.from('a folder that is not known'));
}

/** Throws when snapshots elsewhere may need the blobs of a store. */
export async function requireUnshared(notes: StoreNotes): Promise<void> {
  for await (const { name } of notes.list(sharedPrefix)) {
    const folder = Buffer.from((await notes.get(name)) ?? []).toString();
    throw new Error(
      `--keep removes blobs that no snapshot here names, and snapshots in ${folder} need them too: leave it out, ` +
        `or remove the note ${name} from this store once those are gone`,
    );
  }
}

/** Says in a store that snapshots beside it need its blobs. */
export async function ownBlobs(notes: StoreNotes): Promise<void> {
  await notes.put(ownName, new Uint8Array());
}

export async function areOwnBlobs(notes: StoreNotes): Promise<boolean> {
  return (await notes.get(ownName)) !== undefined;
}
