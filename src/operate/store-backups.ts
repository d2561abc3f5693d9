import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import { z } from 'zod';
import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import type { StoreMark } from '../platform/blob-store/store-mark.ts';
import type { StoreNotes } from '../platform/blob-store/store-notes.ts';
import type { BackupPlace } from './backup-place.ts';
import { withSnapshotFolder } from './migrated-snapshot.ts';
import { areOwnBlobs, ownBlobs, requireUnshared, shareWithUnknown } from './shared-blobs.ts';
import { isStoreRead, type LeaseParts, lockStore, readStore } from './store-lease.ts';

/*
 * <store>
 * ├── blobs/                              the blobs of all snapshots, and each snapshot itself, under Zstandard
 * └── notes/
 *     ├── snapshot.2026-01-31t04-05-06z   where the snapshot of that moment is; there once all its blobs are
 *     ├── backup-lock.<uid>               a backup that is under way
 *     └── backup-reader.<uid>             a restore that is under way
 */

export type StoreBackupParts = LeaseParts & { readonly store: BlobStore; readonly mark: StoreMark };

const snapshotPrefix = 'snapshot.';

const snapshotSchema = z.strictObject({
  /** Among the blobs. */
  key: z.string(),
  /** Of the bytes under the key. */
  sizeBytes: z.int(),
  sha256: z.string(),
});
type Snapshot = z.infer<typeof snapshotSchema>;

/** Backups in an object store, or in a folder that is written like one. Files that they need are made in the system's folder for those. */
export function storeBackups(parts: StoreBackupParts): BackupPlace {
  const { store, mark, notes, clock } = parts;
  return {
    blobs: store,
    mark,
    lock: () => lockStore(parts),
    read: () => readStore(parts),
    isRead: () => isStoreRead(parts),
    claimBlobs: () => claimBlobs(parts),
    requireUnshared: () => requireUnshared(notes),
    snapshots: async () => {
      const names = await Array.fromAsync(notes.list(snapshotPrefix), ({ name }) => name.slice(snapshotPrefix.length));
      return names.map((name) => name.toUpperCase()).sort();
    },
    add: ({ moment, lock, write, use }) =>
      withSnapshotFolder('backup', clock, async (folder) => {
        const file = join(folder, 'snapshot.sqlite');
        await write(file);
        const result = await use(file);
        const snapshot = await upload(store, file);
        await lock.confirm();
        await notes.put(noteOf(moment), Buffer.from(JSON.stringify(snapshot)));
        await lock.confirm().catch(async (cause) => {
          await notes.removeMany([noteOf(moment)]);
          throw cause;
        });
        return result;
      }),
    open: (name, use) =>
      withSnapshotFolder('restore', clock, async (folder) => {
        const file = join(folder, 'snapshot.sqlite');
        await download(store, await snapshotOf(notes, name), file);
        return await use(file);
      }),
    ownKeys: async () => {
      const found = await Array.fromAsync(notes.list(snapshotPrefix), ({ name }) => name.slice(snapshotPrefix.length));
      return await Promise.all(found.map(async (name) => (await snapshotOf(notes, name)).key));
    },
    remove: (names) => notes.removeMany(names.map(noteOf)),
  };
}

async function claimBlobs({ store, notes }: StoreBackupParts): Promise<void> {
  if (await areOwnBlobs(notes)) return;
  if (await hasBlobs(store)) await shareWithUnknown(notes);
  await ownBlobs(notes);
}

async function hasBlobs(store: BlobStore): Promise<boolean> {
  for await (const { handle } of store.list('')) if (handle === undefined) return true;
  return false;
}

function noteOf(name: string): string {
  return `${snapshotPrefix}${name.toLowerCase()}`;
}

async function snapshotOf(notes: StoreNotes, name: string): Promise<Snapshot> {
  const bytes = await notes.get(noteOf(name));
  if (bytes === undefined) throw new Error(`there is no snapshot ${name} in this store`);
  return snapshotSchema.parse(JSON.parse(Buffer.from(bytes).toString()));
}

async function upload(store: BlobStore, file: string): Promise<Snapshot> {
  const hash = createHash('sha256');
  const compress = createZstdCompress();
  const reading = pipeline(createReadStream(file), compress);
  // Awaited below; when the store fails, that fault is the one to tell.
  reading.catch(() => {});
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of compress) {
      const bytes = Buffer.from(chunk);
      hash.update(bytes);
      yield bytes;
    }
  }
  const handle = await store.begin();
  const part = await store.part(handle, { number: 1, offset: 0 }, hashed());
  await reading;
  const key = await store.complete(handle, [part.token]);
  return { key, sizeBytes: part.sizeBytes, sha256: hash.digest('hex') };
}

async function download(store: BlobStore, { key, sha256 }: Snapshot, file: string): Promise<void> {
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of store.read(key)) {
      hash.update(chunk);
      yield chunk;
    }
  }
  await pipeline(hashed(), createZstdDecompress(), createWriteStream(file, { mode: 0o600 }));
  if (hash.digest('hex') !== sha256) throw new Error('the bytes of the snapshot are not those that were stored');
}
