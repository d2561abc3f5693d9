import type { ContainerClient } from '@azure/storage-blob';
import type { Clock } from '../../clock.ts';
import { BlobMissing } from '../blob-store.ts';
import { checkedNoteName, isNoteName, type NoteEntry, type StoreNotes } from '../store-notes.ts';
import { azureFault } from './azure-fault.ts';
import { downloadWhole } from './download.ts';
import { removeBlobs } from './remove-blobs.ts';

/** The notes of a store in a container; `prefix` is empty or ends with a slash. */
export function azureNotes(container: ContainerClient, prefix: string, clock: Clock): StoreNotes {
  const folder = `${prefix}notes/`;
  const noteOf = (name: string) => container.getBlockBlobClient(`${folder}${checkedNoteName(name)}`);
  return {
    put: (name, bytes) =>
      translated(async () => {
        await noteOf(name).uploadData(bytes);
      }),
    get: (name) =>
      translated(async () => {
        try {
          return await downloadWhole(noteOf(name), clock);
        } catch (cause) {
          if (cause instanceof BlobMissing) return undefined;
          throw cause;
        }
      }),
    list: (start) => list(container, folder, start),
    removeMany: (names) => translated(() => removeBlobs(container, names.map(noteOf))),
  };
}

async function* list(container: ContainerClient, folder: string, start: string): AsyncGenerator<NoteEntry> {
  try {
    for await (const { name, properties } of container.listBlobsFlat({ prefix: `${folder}${start}` })) {
      const note = name.slice(folder.length);
      if (isNoteName(note)) yield { name: note, sizeBytes: properties.contentLength ?? 0 };
    }
  } catch (cause) {
    throw azureFault(cause);
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw azureFault(cause);
  }
}
