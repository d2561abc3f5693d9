import { BlobMissing } from '../blob-store.ts';
import type { NoteEntry, StoreNotes } from '../store-notes.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { s3Fault } from './s3-fault.ts';
import type { S3Layout } from './s3-layout.ts';

/** The notes of a store in a bucket. */
export function s3Notes(bucket: S3Bucket, layout: S3Layout): StoreNotes {
  return {
    put: (name, bytes) =>
      translated(async () => {
        await bucket.put(layout.note(name), bytes);
      }),
    get: (name) => translated(() => read(bucket, layout.note(name))),
    list: (prefix) => list(bucket, layout, prefix),
    removeMany: (names) => translated(() => bucket.removeMany(names.map((name) => layout.note(name)))),
  };
}

async function read(bucket: S3Bucket, name: string): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  try {
    const { bytes } = await bucket.get(name, 0, undefined);
    for await (const chunk of bytes) chunks.push(chunk);
  } catch (cause) {
    if (s3Fault(cause) instanceof BlobMissing) return undefined;
    throw cause;
  }
  return Buffer.concat(chunks);
}

async function* list(bucket: S3Bucket, layout: S3Layout, prefix: string): AsyncGenerator<NoteEntry> {
  try {
    for await (const { name, sizeBytes } of bucket.list(layout.notes(prefix))) {
      const note = layout.noteOf(name);
      if (note !== undefined) yield { name: note, sizeBytes };
    }
  } catch (cause) {
    throw s3Fault(cause);
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw s3Fault(cause);
  }
}
