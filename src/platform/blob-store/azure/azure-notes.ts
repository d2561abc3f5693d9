import type { ContainerClient } from '@azure/storage-blob';
import { checkedNoteName, isNoteName, type NoteEntry, type StoreNotes } from '../store-notes.ts';
import { azureFault, isMissing } from './azure-fault.ts';
import { removeBlobs } from './remove-blobs.ts';

/** The notes of a store in a container; `prefix` is empty or ends with a slash. */
export function azureNotes(container: ContainerClient, prefix: string): StoreNotes {
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
          return await noteOf(name).downloadToBuffer();
        } catch (cause) {
          if (isMissing(cause)) return undefined;
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
