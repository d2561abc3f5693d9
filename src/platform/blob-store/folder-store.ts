import {
  closeSync,
  constants,
  fstatSync,
  fsync as fsyncCallback,
  fsyncSync,
  ftruncateSync,
  open as openCallback,
  openSync,
  rename as renameCallback,
} from 'node:fs';
import { opendir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Failpoint } from '../failpoints.ts';
import type { Ids } from '../ids.ts';
import { makeFolder } from '../make-folder.ts';
import {
  BlobMissing,
  type BlobStore,
  type ByteRange,
  type PartPlace,
  type PartToken,
  type ReadOptions,
  type StorageKey,
  type StoredPart,
  type StoreEntry,
  type StoreHandle,
} from './blob-store.ts';
import { type Blocks, createReusedBlocks, freshBlocks, readStream } from './file-reader.ts';
import { writeStream } from './file-writer.ts';
import { FolderLayout, isStorageKey } from './folder-layout.ts';
import { errorCode, storageError } from './storage-error.ts';

const open = promisify(openCallback);
const rename = promisify(renameCallback);
const fsync = promisify(fsyncCallback);

const keyBytes = 16;
const fileMode = 0o600;
/** Removals under way at once. */
const removeWidth = 16;

export type FolderStoreOptions = { readonly folder: string; readonly ids: Ids; readonly failpoint: Failpoint };

/**
 * Keeps each blob in a file below `folder`, which is made when missing. Holds no state of its own, so any process that
 * sees the folder can go on with a handle. A handle is the blob's key; a token is the part's length in decimal.
 */
export function createFolderStore({ folder, ids, failpoint }: FolderStoreOptions): BlobStore {
  const layout = new FolderLayout(folder);
  try {
    makeFolders(layout);
  } catch (cause) {
    throw storageError(cause);
  }
  return new FolderStore(layout, ids, failpoint);
}

class FolderStore implements BlobStore {
  readonly minPartBytes = 0;
  readonly #layout: FolderLayout;
  readonly #ids: Ids;
  readonly #failpoint: Failpoint;
  readonly #reusedBlocks = createReusedBlocks();

  constructor(layout: FolderLayout, ids: Ids, failpoint: Failpoint) {
    this.#layout = layout;
    this.#ids = ids;
    this.#failpoint = failpoint;
  }

  readonly begin = async (): Promise<StoreHandle> => Buffer.from(this.#ids.bytes(keyBytes)).toString('hex');

  readonly keyOf = (handle: StoreHandle): StorageKey => handle;

  readonly part = (handle: StoreHandle, place: PartPlace, bytes: AsyncIterable<Uint8Array>): Promise<StoredPart> =>
    translated(async () => {
      const fd = await openUnfinished(this.#layout.unfinishedPath(handle), place.offset);
      try {
        await this.#failpoint('blob.create.after');
        const sizeBytes = await this.#append(fd, place.offset, bytes);
        return { token: String(sizeBytes), sizeBytes };
      } finally {
        closeSync(fd);
      }
    });

  readonly readUnfinished = (handle: StoreHandle, tokens: readonly PartToken[]): AsyncIterable<Uint8Array> =>
    readFile(this.#layout.unfinishedPath(handle), { start: 0, end: totalOf(tokens) }, freshBlocks);

  readonly unfinishedBytes = (handle: StoreHandle, tokens: readonly PartToken[]): Promise<number> =>
    translated(async () => Math.min(await sizeOf(this.#layout.unfinishedPath(handle)), totalOf(tokens)));

  /** write → fsync of the file → rename → fsync of the folder. After a failed fsync the bytes are gone for good. */
  readonly complete = (handle: StoreHandle, tokens: readonly PartToken[]): Promise<StorageKey> =>
    translated(async () => {
      const unfinished = this.#layout.unfinishedPath(handle);
      const finished = this.#layout.finishedPath(handle);
      await removedOnThrow(unfinished, () => this.#syncFile(unfinished, totalOf(tokens)));
      await rename(unfinished, finished);
      await removedOnThrow(finished, async () => {
        await this.#failpoint('blob.rename.after');
        await syncFolder(this.#layout.finishedFolder(handle));
        await this.#failpoint('blob.directory-fsync.after');
      });
      return handle;
    });

  readonly abort = (handle: StoreHandle): Promise<void> =>
    translated(() => rm(this.#layout.unfinishedPath(handle), { force: true }));

  readonly read = (key: StorageKey, range?: ByteRange, options: ReadOptions = {}): AsyncIterable<Uint8Array> =>
    readFile(this.#layout.finishedPath(key), range, options.mayReuse === true ? this.#reusedBlocks : freshBlocks);

  readonly removeMany = (keys: readonly StorageKey[]): Promise<void> =>
    translated(async () => {
      for (let start = 0; start < keys.length; start += removeWidth) {
        const slice = keys.slice(start, start + removeWidth);
        await Promise.all(slice.map((key) => rm(this.#layout.finishedPath(key), { force: true })));
      }
    });

  async *list(prefix: string): AsyncGenerator<StoreEntry> {
    yield* entriesOf(this.#layout.incoming, prefix, false);
    for (const folder of this.#layout.fanOut()) {
      const start = folder.slice(-2);
      if (start.startsWith(prefix.slice(0, 2))) yield* entriesOf(folder, prefix, true);
    }
  }

  readonly check = (): Promise<void> =>
    translated(async () => {
      // Named as unfinished bytes are: what a kill leaves of it is freed with theirs.
      const probe = this.#layout.unfinishedPath(await this.begin());
      try {
        await writeFile(probe, 'berth', { flag: 'wx', mode: fileMode });
      } finally {
        await rm(probe, { force: true });
      }
    });

  /** Frees the bytes of a failed part at once: on a full disk others wait for them. */
  async #append(fd: number, offset: number, bytes: AsyncIterable<Uint8Array>): Promise<number> {
    try {
      return await writeStream(fd, offset, bytes, () => this.#failpoint('blob.write.middle'));
    } catch (cause) {
      try {
        ftruncateSync(fd, offset);
      } catch {
        // The next part or `abort` does it; the fault that brought us here is the one to tell.
      }
      throw cause;
    }
  }

  async #syncFile(path: string, sizeBytes: number): Promise<void> {
    const fd = await openUnfinished(path, sizeBytes);
    try {
      await this.#failpoint('blob.fsync.before');
      await fsync(fd);
      await this.#failpoint('blob.fsync.after');
    } finally {
      closeSync(fd);
    }
  }
}

/**
 * Opens an unfinished blob behind its first `sizeBytes`, dropping what a failed part left there; without any bytes it is made.
 * Throws BlobMissing when fewer bytes are there. A file that exists is opened at once, which is faster than a thread's turn.
 */
async function openUnfinished(path: string, sizeBytes: number): Promise<number> {
  const fd = sizeBytes === 0 ? await open(path, constants.O_WRONLY | constants.O_CREAT, fileMode) : openExisting(path);
  try {
    const { size } = fstatSync(fd);
    if (size < sizeBytes) throw new BlobMissing(`an unfinished blob holds ${size} bytes of ${sizeBytes}`);
    if (size > sizeBytes) ftruncateSync(fd, sizeBytes);
    return fd;
  } catch (cause) {
    closeSync(fd);
    throw cause;
  }
}

function openExisting(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY);
  } catch (cause) {
    throw missingOr(cause);
  }
}

/** A file that is not there holds none of what the database names. */
function missingOr(cause: unknown): unknown {
  return errorCode(cause) === 'ENOENT' ? new BlobMissing('the stored bytes are missing', { cause }) : cause;
}

async function syncFolder(path: string): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await fsync(fd);
  } finally {
    closeSync(fd);
  }
}

/** After a failed fsync pages may count as clean although they were lost, so nobody may try that file again. */
async function removedOnThrow(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    await rm(path, { force: true }).catch(() => {
      // Left for `list` to show; the fault that brought us here is the one to tell.
    });
    throw cause;
  }
}

async function* readFile(path: string, range: ByteRange | undefined, blocks: Blocks): AsyncGenerator<Uint8Array> {
  const fd = await open(path, constants.O_RDONLY).catch((cause: unknown) => {
    throw storageError(missingOr(cause));
  });
  try {
    yield* readStream(fd, range, blocks);
  } finally {
    closeSync(fd);
  }
}

async function* entriesOf(folder: string, prefix: string, isFinished: boolean): AsyncGenerator<StoreEntry> {
  for await (const { name } of await opendir(folder)) {
    if (!name.startsWith(prefix) || !isStorageKey(name)) continue;
    const found = await statOrNothing(join(folder, name));
    if (found === undefined) continue;
    yield {
      key: name,
      sizeBytes: found.size,
      modifiedMicros: Math.round(found.mtimeMs * 1000),
      handle: isFinished ? undefined : name,
    };
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await statOrNothing(path))?.size ?? 0;
}

async function statOrNothing(path: string) {
  try {
    return await stat(path);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw cause;
  }
}

function totalOf(tokens: readonly PartToken[]): number {
  return tokens.reduce((total, token) => total + Number(token), 0);
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw storageError(cause);
  }
}

function makeFolders(layout: FolderLayout): void {
  for (const path of [layout.incoming, ...layout.fanOut()]) makeFolder(path);
  for (const path of [layout.blobs, layout.folder, dirname(layout.folder)]) syncFolderNow(path);
}

function syncFolderNow(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
