import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import { z } from 'zod';
import type { BlobStore } from '../platform/blob-store/blob-store.ts';
import type { StoreMark } from '../platform/blob-store/store-mark.ts';
import type { StoreNotes } from '../platform/blob-store/store-notes.ts';
import type { Clock } from '../platform/clock.ts';
import type { Ids } from '../platform/ids.ts';
import { type BackupPlace, BackupUnderWay } from './backup-place.ts';

/*
 * <store>
 * ├── blobs/                              the blobs of all snapshots, and each snapshot itself, under Zstandard
 * └── notes/
 *     ├── snapshot.2026-01-31t04-05-06z   where the snapshot of that moment is; there once all its blobs are
 *     └── backup-lock.<uid>               a backup that is under way
 */

export type StoreBackupParts = {
  readonly store: BlobStore;
  readonly mark: StoreMark;
  readonly notes: StoreNotes;
  readonly clock: Clock;
  readonly ids: Ids;
};

const snapshotPrefix = 'snapshot.';
const lockPrefix = 'backup-lock.';
const lockRenewMs = 60_000;
/** A lock that was not renewed for so long is that of a backup that was killed. */
const lockStaleMicros = 600_000_000;

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
  const { store, mark, notes } = parts;
  return {
    blobs: store,
    mark,
    lock: () => lockStore(parts),
    snapshots: async () => {
      const names = await Array.fromAsync(notes.list(snapshotPrefix), ({ name }) => name.slice(snapshotPrefix.length));
      return names.map((name) => name.toUpperCase()).sort();
    },
    add: (moment, write, use) =>
      withFolder(async (folder) => {
        const file = join(folder, 'snapshot.sqlite');
        await write(file);
        const result = await use(file);
        const snapshot = await upload(store, file);
        await notes.put(noteOf(moment), Buffer.from(JSON.stringify(snapshot)));
        return result;
      }),
    open: (name, use) =>
      withFolder(async (folder) => {
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

async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-backup-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Each writes its own lock and then looks for others: of two at once, at least one sees the other. */
async function lockStore({ notes, clock, ids }: StoreBackupParts): Promise<AsyncDisposable> {
  const name = `${lockPrefix}${ids.uid()}`;
  const write = () => notes.put(name, Buffer.from(String(clock.nowMicros())));
  await write();
  try {
    for await (const other of notes.list(lockPrefix)) {
      if (other.name === name) continue;
      const since = Number(Buffer.from((await notes.get(other.name)) ?? '0').toString());
      if (since > clock.nowMicros() - lockStaleMicros) throw new BackupUnderWay();
      await notes.removeMany([other.name]);
    }
  } catch (error) {
    await notes.removeMany([name]);
    throw error;
  }
  const ended = new AbortController();
  const renewing = renewUntil(ended.signal, clock, write);
  return {
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await renewing;
      await notes.removeMany([name]);
    },
  };
}

async function renewUntil(signal: AbortSignal, clock: Clock, write: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(lockRenewMs, signal).catch(() => {
      // The backup has ended.
    });
    if (signal.aborted) return;
    await write().catch(() => {
      // The next turn is long before it counts as stale.
    });
  }
}
